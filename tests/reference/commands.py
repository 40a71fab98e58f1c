"""The commands of `rota`, from the program itself."""

import re
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any

from typer.main import get_command

from tests.reference.tables import table


def commands() -> str:
    """Return a section for each command, with its arguments and options."""
    [program] = entry_points(group="console_scripts", name="rota")
    return "\n".join(_section(*each) for each in _commands("rota", get_command(program.load())))


def _commands(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Yield the commands below one that can be typed, with their whole names."""
    below = getattr(command, "commands", None)
    if below is None:
        yield name, command
        return
    for word in sorted(below):
        if not below[word].hidden:
            yield from _commands(f"{name} {word}", below[word])


def _section(name: str, command: Any) -> str:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option"]
    typed = " ".join([name, *(_argument(each) for each in arguments)])
    rows = [(f"`{_argument(each)}`", _text(each.help)) for each in arguments if each.help]
    rows += [(_option(each), _text(each.help)) for each in options if not each.hidden]
    described = f"## `{typed}`\n\n{_paragraphs(command.help)}\n"
    return described + (f"\n{table(('', 'meaning'), rows)}" if rows else "")


def _argument(parameter: Any) -> str:
    shown = (parameter.metavar or parameter.name).upper().strip("[]<>")
    shown += "…" if parameter.nargs == -1 else ""
    return shown if parameter.required else f"[{shown}]"


def _option(parameter: Any) -> str:
    takes = "" if parameter.is_flag else f" {parameter.name.upper()}"
    names = [f"`{each}{takes}`" for each in (*parameter.opts, *parameter.secondary_opts)]
    return ", ".join(names)


def _text(help_text: str | None) -> str:
    return " ".join((help_text or "").split()).replace("|", "\\|")


def _paragraphs(help_text: str | None) -> str:
    """Return the help as paragraphs, without the marks that it has for a terminal."""
    text = re.sub(r"\\?\x08\n?", "", help_text or "").split("\f")[0]
    return "\n\n".join(" ".join(each.split()) for each in re.split(r"\n\s*\n", text))
