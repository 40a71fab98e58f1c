"""A task as others would write it: for a shell, in Python, in a crontab."""

import json
import re
import shlex
from collections.abc import Mapping
from pprint import pformat
from typing import Any, Final

from rota.web.snippets.yaml_text import as_yaml

_BEARER: Final = '-H "authorization: Bearer $ROTA_KEY"'
#: Expressions that a crontab has as well: five fields, or a word.
_OF_CRONTAB: Final = re.compile(
    r"(?:\S+ ){4}\S+|@(?:yearly|annually|monthly|weekly|daily|midnight|hourly)"
)
_HOURLY: Final = "0 * * * *"


def as_curl(url: str, definition: Mapping[str, Any], *, with_key: bool) -> str:
    """Return a command for a shell that declares the task."""
    lines = [f"curl -X PUT {shlex.quote(url)}", "-H 'content-type: application/json'"]
    lines += [_BEARER] if with_key else []
    body = json.dumps(definition, ensure_ascii=False, indent=2)
    return " \\\n  ".join([*lines, f"--data-raw {shlex.quote(body)}"])


def as_client(base: str, name: str, definition: Mapping[str, Any], *, with_key: bool) -> str:
    """Return a program that declares the task with `rota.client`."""
    key = "  # and the key in ROTA_KEY" if with_key else ""
    fields = _keywords(definition, "    ")
    return (
        f"from rota.client import Rota\n\nrota = Rota({base!r}){key}\n"
        f"rota.task({name!r}).declare(\n{fields})\n"
    )


def as_handler(name: str, definition: Mapping[str, Any]) -> str:
    """Return a handler that registers the task, with the SDK."""
    fields = _keywords({"name": name, **definition}, "        ")
    return (
        "from rota import Context, handler\n\n\n@handler\n"
        f"async def register(ctx: Context) -> None:\n    await ctx.tasks.register(\n{fields}    )\n"
    )


def as_command(base: str, name: str, definition: Mapping[str, Any]) -> str:
    """Return commands of the command line: declare the task, and run it. The key is in ROTA_KEY."""
    url = shlex.quote(base)
    return (
        f"rota --url {url} apply -f - <<'EOF'\n{as_yaml(name, definition)}EOF\n"
        f"rota --url {url} task run {shlex.quote(name)} --wait\n"
    )


def as_crontab(url: str, definition: Mapping[str, Any], *, with_key: bool) -> str:
    """Return a line of a crontab that runs the task, for who keeps the schedule there."""
    expression = str(definition["schedule"].get("expression", ""))
    when = expression if _OF_CRONTAB.fullmatch(expression) else _HOURLY
    key = f" {_BEARER}" if with_key else ""
    command = f"curl -fsS -m 30 -o /dev/null -X POST{key} {shlex.quote(f'{url}/run')}"
    # A percent sign is the end of the command there.
    line = f"{when} {command}".replace("%", r"\%")
    return f"ROTA_KEY=your-key\n{line}\n" if with_key else f"{line}\n"


def _keywords(fields: Mapping[str, Any], indent: str) -> str:
    """Return fields as arguments of a call, each in lines of its own."""
    found = ""
    for name, value in fields.items():
        text = pformat(value, sort_dicts=False, width=88).replace("\n", f"\n{indent}")
        found += f"{indent}{name}={text},\n"
    return found
