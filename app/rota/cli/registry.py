"""The commands of `rota`: their names, what they are for, and where they are.

A module is imported when its command is used. The help of `rota` and completion need only what is written here; a test
compares it with the modules.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from rota.cli.escaping import printable
from rota.cli.exits import ExitCode, failure_of

SERVICE = "The service"
WORK = "Tasks and runs"
COMMAND_LINE = "The command line"


@dataclass(frozen=True, slots=True)
class Entry:
    """A command or a group: `attribute` of `module` is a function, or a `typer.Typer`."""

    name: str
    module: str
    attribute: str
    help: str
    panel: str

    def load(self) -> Any:
        """Import the module, and return the command."""
        found = getattr(import_module(self.module), self.attribute)
        if not isinstance(found, typer.Typer):
            alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            alone.command(self.name)(found)
            found = alone
        command = get_command(found)
        command.name = self.name
        hide_types_of_switches(command)
        return command

    def placeholder(self) -> TyperCommand:
        """Return what stands for the command in lists."""
        return TyperCommand(self.name, help=self.help, rich_help_panel=self.panel)


def hide_types_of_switches(command: Any) -> None:
    """Keep `<bool>` out of the help of a command and of those in it: a switch takes no value."""
    # The option `--help` is made when it is first asked for.
    for option in command.get_params(typer.Context(command)):
        if getattr(option, "is_flag", False):
            option.metavar = ""
    for each in getattr(command, "commands", {}).values():
        hide_types_of_switches(each)


COMMANDS = (
    Entry(
        "serve",
        "rota.cli.local.serve",
        "serve",
        "Run the service: HTTP API, scheduler and workers in one process.",
        SERVICE,
    ),
    Entry(
        "preview",
        "rota.cli.local.preview",
        "preview",
        "Show when a schedule would fire, in words and as times. Needs no service.",
        WORK,
    ),
    Entry(
        "dev",
        "rota.cli.local.dev",
        "dev",
        "Serve while handlers are written: makes the database, and starts again when a Python file changes.",
        SERVICE,
    ),
    Entry(
        "init",
        "rota.cli.local.init",
        "init",
        "Write a handler, a task and a test in a new or empty folder. Overwrites nothing.",
        SERVICE,
    ),
    Entry(
        "import",
        "rota.cli.local.importing.commands",
        "group",
        "Schedules of other programs as tasks.",
        WORK,
    ),
    Entry(
        "doctor",
        "rota.cli.local.doctor",
        "doctor",
        "Look for what is wrong with settings, database, handlers and machine; name the fix of each finding.",
        SERVICE,
    ),
    Entry("db", "rota.cli.local.database.commands", "group", "The database.", SERVICE),
    Entry("key", "rota.cli.keys", "group", "API keys.", SERVICE),
    Entry("task", "rota.cli.remote.tasks.group", "group", "Tasks.", WORK),
    Entry(
        "apply",
        "rota.cli.remote.apply.command",
        "apply",
        "Make the tasks of the service those of files.",
        WORK,
    ),
    Entry(
        "run", "rota.cli.remote.runs.group", "group", "Runs. `rota run TASK` runs a task now.", WORK
    ),
    Entry("kv", "rota.cli.remote.kv.group", "group", "The key-value table of a task.", WORK),
    Entry(
        "explain",
        "rota.cli.remote.resources.explain",
        "explain",
        "Say why a task does not run.",
        WORK,
    ),
    Entry(
        "events",
        "rota.cli.remote.resources.events",
        "events",
        "Print events as they happen.",
        WORK,
    ),
    Entry(
        "top",
        "rota.cli.remote.top.command",
        "top",
        "Show what is running, due and late, until q or Ctrl-C.",
        WORK,
    ),
    Entry(
        "stats",
        "rota.cli.remote.resources.stats",
        "stats",
        "Show how runs went: successes, durations, lateness, missed fire times.",
        WORK,
    ),
    Entry(
        "hold",
        "rota.cli.remote.resources.holds",
        "group",
        "Spans of time in which tasks do not fire.",
        WORK,
    ),
    Entry(
        "calendar",
        "rota.cli.remote.resources.calendars",
        "group",
        "Named days that schedules leave out.",
        WORK,
    ),
    Entry(
        "handler",
        "rota.cli.remote.resources.handlers",
        "group",
        "Handlers: what tasks can run.",
        WORK,
    ),
    Entry(
        "queue",
        "rota.cli.remote.resources.queues",
        "group",
        "Queues: limits, and what waits in them.",
        WORK,
    ),
    Entry(
        "secret",
        "rota.cli.remote.resources.secrets",
        "group",
        "Named secrets for calls over HTTP.",
        WORK,
    ),
    Entry(
        "context",
        "rota.cli.context_commands",
        "group",
        "Servers that commands are for, each with its key.",
        COMMAND_LINE,
    ),
    Entry("version", "rota.cli.local.version", "version", "Print the version.", COMMAND_LINE),
)
_BY_NAME = {entry.name: entry for entry in COMMANDS}


class Group(TyperGroup):
    """A group that prints its help when it is given nothing."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Return what is left for the command. Exits if there is nothing."""
        if not args and self.no_args_is_help and not ctx.resilient_parsing:
            typer.echo(ctx.get_help())
            raise typer.Exit(ExitCode.REFUSED)
        return super().parse_args(ctx, args)


def group_of_commands(help: str, cls: type[Group] = Group) -> typer.Typer:
    """Return a group that a module adds its commands to."""
    return typer.Typer(
        cls=cls,
        help=help,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )


class CommandLine(Group):
    """The group of all commands; prints errors as sentences, and gives each its exit code."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands.update({entry.name: entry.placeholder() for entry in COMMANDS})
        self._loaded: set[str] = set()

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the command that the first argument names, the rest for it."""
        self.load(args[0])
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        hide_types_of_switches(self)  # typer has added some since this was made
        super().format_help(ctx, formatter)

    def load(self, name: str) -> None:
        """Import a command, if there is one of this name."""
        if name in _BY_NAME and name not in self._loaded:
            self.commands[name] = _BY_NAME[name].load()
            self._loaded.add(name)

    def load_all(self) -> None:
        """Import every command, for documents and tests."""
        for entry in COMMANDS:
            self.load(entry.name)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line; exits, unless `standalone_mode` is False."""
        del prog_name
        run = partial(
            super().main,
            args,
            "rota",  # whatever started it
            complete_var,
            standalone_mode=False,
            windows_expand_args=windows_expand_args,
            **extra,
        )
        return run_and_exit(run) if standalone_mode else run()


def run_and_exit(run: Callable[[], Any]) -> NoReturn:
    """Run a command, print the error that it ends with, and exit."""
    try:
        ended = run()
    except typer.Exit as ended_early:
        sys.exit(ended_early.exit_code)
    except typer.TyperException as error:
        raise _ended(_usage(error), ExitCode.REFUSED) from None
    except typer.Abort:
        raise _ended("Aborted.", ExitCode.FAILED) from None
    except Exception as error:
        failure = failure_of(error)
        if failure is None:
            raise
        raise _ended(failure.sentence, failure.code) from None
    sys.exit(ended if isinstance(ended, int) else ExitCode.DONE)


def _ended(sentence: str, code: ExitCode) -> SystemExit:
    typer.echo(printable(f"rota: {sentence}", lines=True), err=True)
    return SystemExit(int(code))


def _usage(error: typer.TyperException) -> str:
    """Return what is wrong with how a command was called, and where its help is."""
    context = getattr(error, "ctx", None)
    path = "rota" if context is None else context.command_path
    sentence = error.format_message().strip()
    stop = "" if sentence.endswith((".", "?", "!")) else "."
    return f"{sentence}{stop} See: {path} --help"
