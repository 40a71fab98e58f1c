"""A task as YAML, which `rota apply -f` reads."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from rota.domain.primitives.json import json_text

_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
# What YAML 1.1 reads as something else than a text.
_NOT_KEYS: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
# Characters that YAML does not allow as they are; JSON's way to write them is YAML's as well.
_UNPRINTABLE: Final = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def as_yaml(name: str, definition: Mapping[str, Any]) -> str:
    """Return a file with the task."""
    first, *others = _lines({"name": name, **definition}, "")
    return "\n".join(["tasks:", f"  - {first}", *(f"    {each}" for each in others)]) + "\n"


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
