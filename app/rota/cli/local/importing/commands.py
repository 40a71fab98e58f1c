"""`rota import crontab|celery-beat|apscheduler FILE`: writes a tasks.yaml, and reports what it leaves out."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer

from rota.cli.escaping import printable
from rota.cli.exits import CommandFailed, ExitCode
from rota.cli.local.importing import apscheduler_jobs, celery_beat
from rota.cli.local.importing.crontab import read_crontab
from rota.cli.local.importing.imported import Imported
from rota.cli.local.importing.tasks_file import as_yaml
from rota.cli.local.own_time_zone import own_time_zone
from rota.cli.output import Json, note, print_json
from rota.cli.registry import group_of_commands
from rota.domain.time_zones.zone import check_zone

group = group_of_commands("Schedules of other programs as tasks.")

_STDIN = "-"
_SHELL_HANDLER = "shell_handler.py"
_TEMPLATES = files("rota.cli.local") / "new_project"
_SHOWN = 100

_File = Annotated[str, typer.Argument(help="The file; '-' is the standard input.")]
_Output = Annotated[
    Path, typer.Option("--output", "-o", help="Where the tasks are written; '-': on the terminal.")
]
_Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there.")]
_Owner = Annotated[str, typer.Option(help="The owner of the tasks, for `rota apply`.")]
_Zone = Annotated[str | None, typer.Option("--tz", help="Time zone of what names none.")]
_Apply = Annotated[bool, typer.Option("--apply", help="Register the tasks at once.")]
_DEFAULT_OUTPUT = Path("tasks.yaml")


@group.command()
def crontab(
    context: typer.Context,
    file: _File,
    output: _Output = _DEFAULT_OUTPUT,
    owner: _Owner = "crontab",
    timezone: _Zone = None,
    system: Annotated[
        bool | None,
        typer.Option(
            "--system/--user",
            help="Whether lines name a user, as in /etc/crontab and /etc/cron.d (found out by the path).",
        ),
    ] = None,
    overwrite: _Overwrite = False,
    apply: _Apply = False,
    as_json: Json = False,
) -> None:
    """Read a crontab: `crontab -l | rota import crontab -`. Its commands are run by a handler, which is written too."""
    zone = _checked_zone(timezone) or own_time_zone()
    has_users = _is_of_system(file) if system is None else system
    found = read_crontab(_text(file), timezone=zone, has_users=has_users)
    if timezone is None and not as_json:
        note(f"Times are those of {zone}, the time zone of this machine (--tz names another).")
    _deliver(context, found, file, output, owner, overwrite=overwrite, apply=apply, as_json=as_json)
    if not as_json and output != Path(_STDIN) and found.tasks:
        _write_shell_handler(output.parent)


@group.command("celery-beat")
def celery(
    context: typer.Context,
    file: _File,
    output: _Output = _DEFAULT_OUTPUT,
    owner: _Owner = "celery-beat",
    timezone: _Zone = None,
    overwrite: _Overwrite = False,
    apply: _Apply = False,
    as_json: Json = False,
) -> None:
    """Read the `beat_schedule` of a Python module, which is not executed, or the same as JSON."""
    zone, text = _checked_zone(timezone), _text(file)
    read = celery_beat.read_json if _is_json(text) else celery_beat.read_module
    found = read(text, _shown(file), zone)
    _deliver(context, found, file, output, owner, overwrite=overwrite, apply=apply, as_json=as_json)
    if not as_json:
        _name_handlers(found)


@group.command()
def apscheduler(
    context: typer.Context,
    file: _File,
    output: _Output = _DEFAULT_OUTPUT,
    owner: _Owner = "apscheduler",
    timezone: _Zone = None,
    overwrite: _Overwrite = False,
    apply: _Apply = False,
    as_json: Json = False,
) -> None:
    """Read the jobs that a Python module adds, which is not executed, or a list of them as JSON; no job store."""
    content = _content(file)
    apscheduler_jobs.refuse_store(content)
    zone, text = _checked_zone(timezone) or own_time_zone(), _decoded(content, file)
    read = apscheduler_jobs.read_json if _is_json(text) else apscheduler_jobs.read_module
    found = read(text, _shown(file), zone)
    if timezone is None and not as_json:
        note(f"Jobs without a time zone have {zone}, that of this machine (--tz names another).")
    _deliver(context, found, file, output, owner, overwrite=overwrite, apply=apply, as_json=as_json)
    if not as_json:
        _name_handlers(found)


def _checked_zone(name: str | None) -> str | None:
    if name is None:
        return None
    try:
        return check_zone(name)
    except ValueError as error:
        raise CommandFailed(f"--tz: {error}") from None


def _is_of_system(file: str) -> bool:
    path = Path(file).absolute()
    return path == Path("/etc/crontab") or path.parent == Path("/etc/cron.d")


def _is_json(text: str) -> bool:
    return text.lstrip().startswith(("{", "["))


def _text(file: str) -> str:
    return _decoded(_content(file), file)


def _content(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == _STDIN else Path(file).read_bytes()
    except OSError as error:
        raise CommandFailed(
            f"{_shown(file)} cannot be read: {error.strerror}.", ExitCode.NOT_FOUND
        ) from None


def _decoded(content: bytes, file: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise CommandFailed(f"{_shown(file)} is no text in UTF-8.") from None


def _shown(file: str) -> str:
    return "the standard input" if file == _STDIN else file


def _deliver(
    context: typer.Context,
    found: Imported,
    file: str,
    output: Path,
    owner: str,
    *,
    overwrite: bool,
    apply: bool,
    as_json: bool,
) -> None:
    """Write the tasks, and report what is left out. Exits with 1 if something is."""
    if as_json:
        problems = [asdict(each) for each in found.problems]
        print_json({"owner": owner, "tasks": found.tasks, "problems": problems})
    else:
        _report(found, file)
        _write(as_yaml(owner, found.tasks, _shown(file)), output, overwrite=overwrite)
        _summarise(found, output)
    if apply:
        _apply_file(context, output, as_json=as_json)
    if not found.is_complete:
        # After what else there is to say.
        context.call_on_close(_exit_incomplete)


def _exit_incomplete() -> None:
    raise typer.Exit(ExitCode.FAILED)


def _report(found: Imported, file: str) -> None:
    for each in found.problems:
        place = _shown(file) if each.line is None else f"{_shown(file)}:{each.line}"
        what = printable(each.what)
        shown = what if len(what) <= _SHOWN else f"{what[:_SHOWN]}…"
        kind = "warning: " if each.is_warning else ""
        note(f"{place}: {kind}{shown}\n    {printable(each.reason)}")


def _write(text: str, output: Path, *, overwrite: bool) -> None:
    if output == Path(_STDIN):
        typer.echo(text, nl=False)
        return
    try:
        with output.open("w" if overwrite else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise CommandFailed(
            f"{output} is there already. Give another --output, or --overwrite.", ExitCode.CONFLICT
        ) from None
    except OSError as error:
        raise CommandFailed(f"{output} cannot be written: {error.strerror}.") from None


def _summarise(found: Imported, output: Path) -> None:
    left = sum(not each.is_warning for each in found.problems)
    where = "" if output == Path(_STDIN) else f" in {output}"
    note(f"{_counted(len(found.tasks), 'task')}{where}; {left} left out.")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _apply_file(context: typer.Context, output: Path, *, as_json: bool) -> None:
    """Register the tasks as `rota apply -f` does. Raises CommandFailed if there is no file for it."""
    if as_json or output == Path(_STDIN):
        raise CommandFailed("--apply registers what is in a file: leave out --json and --output -.")
    root = context.find_root()
    group_of_all: Any = root.command
    name, command, rest = group_of_all.resolve_command(root, ["apply", "-f", str(output)])
    with command.make_context(name, rest, parent=root) as inner:
        command.invoke(inner)


def _write_shell_handler(folder: Path) -> None:
    """Write the handler that runs the commands beside the tasks, unless it is there."""
    path = folder / _SHELL_HANDLER
    text = (_TEMPLATES / f"{_SHELL_HANDLER}.txt").read_text(encoding="utf-8")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return
    except OSError as error:
        raise CommandFailed(f"{path} cannot be written: {error.strerror}.") from None
    note(f"The handler that runs the commands is in {path}: ROTA_HANDLERS={path} rota serve")


def _name_handlers(found: Imported) -> None:
    handlers: Sequence[str] = sorted({each["handler"] for each in found.tasks})
    if handlers:
        note(f"Handlers to write, each with @handler(…): {', '.join(handlers)}.")
