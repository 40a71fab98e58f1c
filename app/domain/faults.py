"""What pydantic found wrong, as faults that point into the value that was given."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from app.domain.values import escape
from app.errors import Fault


def faults_of(errors: Iterable[Mapping[str, Any]], value: Any) -> list[Fault]:
    """Return the faults behind pydantic's errors on `value`, without those that only follow from another one."""
    kept: dict[str, Fault] = {}
    for error in errors:
        place = pointer_to(error, value)
        kept.setdefault(place, Fault(place, detail_of(error)))
    return [
        fault
        for place, fault in kept.items()
        if not any(other.startswith(f"{place}/") for other in kept)
    ]


def detail_of(error: Mapping[str, Any]) -> str:
    """Return what one of pydantic's errors says, as the end of a sentence."""
    if error["type"] == "extra_forbidden":
        return "this member is not known here"
    if error["type"] == "missing":
        return "this member is required"
    message = str(error["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def pointer_to(error: Mapping[str, Any], value: Any) -> str:
    """Turn the path of one of pydantic's errors, which also names members of unions, into a pointer (RFC 6901)."""
    pointer, here = "", value
    path: Sequence[str | int] = error["loc"]
    for index, step in enumerate(path):
        last = index == len(path) - 1
        inside = _inside(here, step)
        if inside or (last and error["type"] == "missing"):
            pointer += f"/{escape(step)}"
            here = here[step] if inside else None
    return pointer + _tag(error)


def _tag(error: Mapping[str, Any]) -> str:
    """Return where the member is that tells which of a union it is, if that is what is wrong."""
    if not error["type"].startswith("union_tag"):
        return ""
    discriminator = error.get("ctx", {}).get("discriminator", "type")
    return f"/{discriminator.strip(chr(39))}"


def _inside(value: Any, step: str | int) -> bool:
    if isinstance(value, Mapping):
        return step in value
    return isinstance(value, (list, tuple)) and isinstance(step, int) and step < len(value)
