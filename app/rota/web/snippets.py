"""A task as others would write it: curl, Python and YAML, without what only the service sets and what is default."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from pprint import pformat
from typing import Any, Final

from rota.domain.http_target.target import Target
from rota.domain.primitives import json_text
from rota.domain.schedules.definitions import Manual
from rota.domain.tasks.definition import TaskDefinition

_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
# What YAML 1.1 reads as something else than a text.
_NOT_KEYS: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
# Characters that YAML does not allow as they are; JSON's way to write them is YAML's as well.
_UNPRINTABLE: Final = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
#: Always written: the default of a task can be that of its handler.
_KEPT: Final = frozenset({"handler", "schedule", "timeout"})
#: The default of this timeout depends on the task's.
_KEPT_OF_TARGET: Final = frozenset({"url", "timeout"})


def definition_of(task: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a `PUT` of the task needs: the members that differ from the defaults."""
    default = TaskDefinition(handler="x", schedule=Manual(type="manual")).model_dump(mode="json")
    found = {
        name: task[name]
        for name in TaskDefinition.model_fields
        if name in task and (name in _KEPT or task[name] != default[name])
    }
    if task.get("secret_input"):  # it is shown as null
        found.pop("input", None)
    if found.get("target"):
        found["target"] = _target(found["target"])
    return found


def as_curl(url: str, definition: Mapping[str, Any], *, with_key: bool) -> str:
    """Return a command for a shell that declares the task."""
    lines = [f"curl -X PUT {shlex.quote(url)}", "-H 'content-type: application/json'"]
    lines += ['-H "authorization: Bearer $ROTA_KEY"'] if with_key else []
    body = json.dumps(definition, ensure_ascii=False, indent=2)
    return " \\\n  ".join([*lines, f"--data-raw {shlex.quote(body)}"])


def as_python(url: str, definition: Mapping[str, Any], *, with_key: bool) -> str:
    """Return a program that declares the task."""
    key = (
        '\n    headers={"authorization": f"Bearer {os.environ[\'ROTA_KEY\']}"},' if with_key else ""
    )
    begin = "import os\n\nimport httpx" if with_key else "import httpx"
    body = pformat(definition, sort_dicts=False, width=88).replace("\n", "\n    ")
    return f"{begin}\n\nhttpx.put(\n    {url!r},{key}\n    json={body},\n).raise_for_status()\n"


def as_yaml(name: str, definition: Mapping[str, Any]) -> str:
    """Return the task with its name as YAML."""
    return "\n".join(_lines({"name": name, **definition}, "")) + "\n"


def _target(target: Mapping[str, Any]) -> dict[str, Any]:
    default = Target(url="https://example.com/").model_dump(mode="json")
    return {
        name: value
        for name, value in target.items()
        if name in _KEPT_OF_TARGET or value != default.get(name, name)
    }


def _lines(value: Mapping[str, Any] | list[Any], indent: str) -> Iterator[str]:
    """Yield the lines of a mapping or a list in block style; its scalars as JSON, which is YAML."""
    heads = (
        [(f"{_key(name)}:", each) for name, each in value.items()]
        if isinstance(value, Mapping)
        else [("-", each) for each in value]
    )
    for head, each in heads:
        if isinstance(each, dict | list) and each:
            yield indent + head
            yield from _lines(each, indent + "  ")
        else:
            yield f"{indent}{head} {_scalar(each)}"


def _key(name: str) -> str:
    plain = _PLAIN_KEY.fullmatch(name) and name.lower() not in _NOT_KEYS
    return name if plain else _scalar(name)


def _scalar(value: Any) -> str:
    if isinstance(value, float):
        return _float(value)
    text = json_text.dumps(value)
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _float(value: float) -> str:
    """Return a number that YAML 1.1 reads as one: its exponents need a point before them, and a sign."""
    text = repr(value)
    mantissa, mark, exponent = text.partition("e")
    return text if not mark or "." in mantissa else f"{mantissa}.0e{exponent}"
