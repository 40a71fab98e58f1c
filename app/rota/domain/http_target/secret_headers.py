"""Headers whose values are secret: which ones they are, and how a stored definition has them when they are sealed."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from rota.domain.http_target.secret_references import is_by_reference
from rota.domain.primitives.texts.sealed import PREFIX, SealedText

REDACTED = "[redacted]"
#: The one field of the object that a sealed header is in a stored definition; a header that is given is a text.
SEALED = "sealed"

_SECRET_HEADER = re.compile(
    r"auth(?!ors?\b)|cookie|key|token|secret|signature|passw|\bpass|credential|session",
    re.IGNORECASE,
)


# Asked several times for each header of each request, of which most have the same few.
@lru_cache(maxsize=1_024)
def looks_secret(header: str) -> bool:
    """Return whether the value of a header must never be shown."""
    return _SECRET_HEADER.search(header) is not None


def is_secret(header: str, value: str) -> bool:
    """Return whether a header holds a secret itself: its name looks secret, and it does not refer to a named one."""
    return looks_secret(header) and not is_by_reference(value)


def stored_header(value: str) -> Any:
    """Return a header as the text of a stored definition has it: a sealed one cannot be taken for another."""
    return {SEALED: value.removeprefix(PREFIX)} if isinstance(value, SealedText) else value


def read_sealed(stored: Any) -> SealedText | None:
    """Return a header of a stored definition if it is a sealed one."""
    if isinstance(stored, dict) and isinstance(stored.get(SEALED), str):
        return SealedText(PREFIX + stored[SEALED])
    return None


def sealed_among(headers: Mapping[str, Any]) -> dict[str, SealedText]:
    """Return the sealed ones of the headers of a stored definition."""
    read = ((name, read_sealed(value)) for name, value in headers.items())
    return {name: value for name, value in read if value is not None}
