"""What pydantic found wrong, as faults that point into the value that was given, in plain English."""

from collections.abc import Iterable, Mapping
from typing import Any

from app.domain.places import Place, Schema, locate
from app.domain.values import escape
from app.domain.wording import word
from app.errors import Fault


def faults_of(
    errors: Iterable[Mapping[str, Any]], value: Any, schema: Schema | None
) -> list[Fault]:
    """Return the faults behind pydantic's errors on `value`, without those that only follow from another one.

    `schema`: pydantic's own of the type that found them; without it, pointers are as good as the value alone tells.
    """
    found: dict[str, list[tuple[Mapping[str, Any], Place]]] = {}
    for error in errors:
        place = locate(error["loc"], value, schema)
        found.setdefault(place.pointer + _member(error), []).append((error, place))
    return [
        Fault(pointer, word([error for error, _ in told], told[0][1]))
        for pointer, told in found.items()
        if not any(other.startswith(f"{pointer}/") for other in found)
    ]


def _member(error: Mapping[str, Any]) -> str:
    """Return where in an object the fault is, if an error about the whole of it says so."""
    context: Mapping[str, Any] = error.get("ctx") or {}
    if error["type"].startswith("union_tag"):
        return f"/{escape(str(context.get('discriminator', 'type')).strip(chr(39)))}"
    return f"/{escape(context['member'])}" if "member" in context else ""
