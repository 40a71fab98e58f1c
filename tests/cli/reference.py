"""The reference of the command line, made from its code: `python -m tests.cli.reference` writes it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from typer.core import TyperArgument, TyperOption
from typer.main import get_command

from rota.cli import app
from rota.cli.exits import MEANINGS
from rota.cli.registry import COMMANDS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"

_BEGINNING = """# Command line

This page is made from the program: `python -m tests.cli.reference` writes it, and a test compares the two.
`rota COMMAND --help` shows the same.
`rota --install-completion` sets up completion of commands and options in your shell.

## Output

- On a terminal, commands print tables and colours; `NO_COLOR=1` switches the colours off.
- In a pipe they print aligned text, with every cell as a whole.
- `--json` prints JSON in both. What is followed (`-f`) is one JSON value a line.
- Errors and notes go to the standard error, each as a sentence.

## Exit codes

| code | meaning |
| --- | --- |
"""
_SERVERS = """
## Which service

Commands that ask a service choose it by the first of these that is given:

1. `--url`, with the key of `--key` or `ROTA_KEY`
2. `--context NAME`
3. `ROTA_URL`, with the key of `ROTA_KEY`
4. `ROTA_CONTEXT`, else the current context (`rota context use NAME`)
5. `http://127.0.0.1:8000`

`--key` replaces the key of any of them, `ROTA_KEY` that of 1, 3, 4 and 5.
The key of a context is sent to the address of that context only.
Contexts are in `$XDG_CONFIG_HOME/rota/contexts.toml` (`~/.config/rota/contexts.toml`).
Only its owner may read the file. A symbolic link is followed when the file is written.

## Commands
"""


def reference() -> str:
    """Return the page."""
    whole: Any = get_command(app)
    whole.load_all()
    codes = "".join(f"| {code.value} | {meaning} |\n" for code, meaning in MEANINGS.items())
    parts = [_BEGINNING, codes, _SERVERS, *_overview(), "\n", *_parameters("rota", whole)]
    for entry in COMMANDS:
        parts += _of_command(f"rota {entry.name}", whole.commands[entry.name])
    return "".join(parts).rstrip() + "\n"


def _overview() -> Iterator[str]:
    yield "\n| command | |\n| --- | --- |\n"
    for entry in sorted(COMMANDS, key=lambda each: each.name):
        yield f"| [`rota {entry.name}`](#rota-{entry.name}) | {_cell(entry.help)} |\n"


def _of_command(path: str, command: Any, level: int = 3) -> Iterator[str]:
    """Yield the section of a command, and of those below it."""
    yield f"\n{'#' * level} {path}\n\n{_text(command.help)}\n"
    inner: Mapping[str, Any] = getattr(command, "commands", {})
    yield from _parameters(path, command, has_commands=bool(inner))
    for name, each in inner.items():
        yield from _of_command(f"{path} {name}", each, min(level + 1, 5))


def _parameters(path: str, command: Any, *, has_commands: bool = False) -> Iterator[str]:
    arguments = [each for each in command.params if isinstance(each, TyperArgument)]
    options = [each for each in command.params if isinstance(each, TyperOption) and not each.hidden]
    usage = [path, *(["[OPTIONS]"] if options else []), *map(_usage, arguments)]
    if has_commands or path == "rota":
        usage.append("COMMAND …")
    yield f"\n```text\n{' '.join(usage)}\n```\n"
    if arguments or options:
        yield "\n| | |\n| --- | --- |\n"
    for argument in arguments:
        yield f"| `{argument.name}` | {_cell(argument.help)}{_default(argument)} |\n"
    for option in options:
        yield f"| {_names(option)} | {_cell(option.help)}{_default(option)} |\n"


def _usage(argument: TyperArgument) -> str:
    name = argument.name.upper()
    name = name if argument.required else f"[{name}]"
    return f"{name}…" if argument.nargs == -1 else name


def _names(option: TyperOption) -> str:
    yes: Sequence[str] = option.opts
    no: Sequence[str] = option.secondary_opts
    value = "" if option.is_flag or option.count else f" {_kind(option)}"
    return " ".join(f"`{name}{value}`" for name in (*yes, *no))


def _kind(option: TyperOption) -> str:
    kind = option.type_descriptor.annotation
    return {"int": "NUMBER", "float": "NUMBER", "Path": "FILE"}.get(
        getattr(kind, "__name__", ""), option.name.split("_")[-1].upper()
    )


def _default(parameter: Any) -> str:
    """Return what a parameter is if it is left out, and whether it must be given."""
    shown = getattr(parameter, "show_default", None)
    if isinstance(shown, str):
        return f" Left out: {shown}."
    if parameter.required:
        return " Required." if isinstance(parameter, TyperOption) else ""
    default = parameter.default
    if default in {None, False, True, ""} or callable(default) or default == ():
        return ""
    return f" Left out: `{default}`."


def _text(help: str | None) -> str:
    return (help or "").strip()


def _cell(help: str | None) -> str:
    return _text(help).replace("\n", " ").replace("|", "\\|")


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(reference())
