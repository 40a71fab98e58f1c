"""Sizes: in as a number of bytes or with a unit (`500MB`, `1.5GiB`), out as a number of bytes."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

_UNITS = {
    "": 1,
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,9})?) ?([A-Za-z]{0,3})", re.ASCII)
_MOST = 2**60


def parse_bytes(value: Any) -> Any:
    """Read a size given as text; raises ValueError (as pydantic's own error) with what would be right."""
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value)
    unit = None if match is None else _UNITS.get(match[2])
    if match is None or unit is None:
        raise PydanticCustomError(
            "bytes", "give a number of bytes, or text such as '500MB' or '1.5GiB'"
        )
    return round(float(match[1]) * unit)


Bytes = Annotated[
    int,
    Field(strict=True, ge=1, le=_MOST),
    BeforeValidator(parse_bytes),
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer", "minimum": 1}, {"type": "string"}],
            "description": "Bytes, or text with a unit: `500MB` (powers of 1000), `1GiB` (of 1024). "
            "Always returned as a number of bytes.",
            "examples": ["1GiB", 1073741824],
        },
        mode="validation",
    ),
    WithJsonSchema(
        {"type": "integer", "description": "Bytes.", "examples": [1073741824]}, mode="serialization"
    ),
]
