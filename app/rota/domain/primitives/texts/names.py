"""Names of tasks, queues and kv keys."""

import re
from typing import Annotated

from pydantic import AfterValidator, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

#: Characters of a name.
LONGEST_NAME = 128
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._~-]{0,127}$"
KEY_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:~-]{0,254}$"
KEY_FORM = (
    "1 to 255 letters, digits, '.', '_', ':', '~' or '-', of which the first is a letter or a digit"
)
#: How a name, or a kv key (Rota's own included), can begin.
NAME_PREFIX_PATTERN = r"^([A-Za-z0-9][A-Za-z0-9._~-]{0,127})?$"
KEY_PREFIX_PATTERN = r"^([A-Za-z0-9_][A-Za-z0-9._:~-]{0,254})?$"
READABLE_KEY_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9._:~-]{0,254}$"
RESERVED_NAMES = frozenset(
    ["batch", "pause", "resume", "cancel", "run", "delete", "export", "import"]
)
RESERVED_KEYS = frozenset(["transaction", "revert", "export", "import"])
RESULT_KEY = "_result"
#: Which shape the entries of a table have, for handlers that migrate them.
VERSION_KEY = "_kv_version"

_NAME = re.compile(NAME_PATTERN)
_KEY = re.compile(KEY_PATTERN)


def _not_reserved(name: str) -> str:
    if name in RESERVED_NAMES:
        words = ", ".join(sorted(RESERVED_NAMES))
        raise PydanticCustomError(
            "reserved_name",
            "'{name}' is reserved; choose a name other than {words}",
            {"name": name, "words": words},
        )
    return name


Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN), AfterValidator(_not_reserved)]


def is_name(name: str) -> bool:
    """Return whether a task could be called so."""
    return _NAME.fullmatch(name) is not None


def key_fault(key: str) -> str | None:
    """Return why `key` cannot be written, or None if it can."""
    if key.startswith("_"):
        return "keys with a leading '_' are Rota's own and read-only"
    if key in RESERVED_KEYS:
        return f"{key!r} is reserved"
    if not _KEY.fullmatch(key):
        return f"give {KEY_FORM}"
    return None


def _writable(key: str) -> str:
    fault = key_fault(key)
    if fault is not None:
        raise PydanticCustomError("kv_key", "{fault}", {"fault": fault})
    return key


WritableKey = Annotated[
    str, AfterValidator(_writable), WithJsonSchema({"type": "string", "pattern": KEY_PATTERN})
]
