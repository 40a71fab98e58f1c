"""Operations on entries from the arguments of handlers; the same operations as over HTTP."""

from datetime import timedelta
from typing import Any

from rota.domain.kv.draft import KvDraft
from rota.domain.kv.operations import Append, Check, Increment, Max
from rota.domain.kv.present import JSON_TYPE
from rota.domain.primitives.json import json_text
from rota.domain.primitives.json.unset import UNSET
from rota.domain.primitives.times.durations import parse_duration
from rota.errors import Invalid

Ttl = float | str | timedelta | None
LONGEST_LIST = 100_000


def to_ttl(ttl: Ttl) -> timedelta | None:
    """Return when an entry expires after the commit, None for never; raises ValueError if it is not a duration."""
    if ttl is None:
        return None
    duration = parse_duration(ttl)
    if not duration:
        raise Invalid("A ttl is a duration above 0, or None if the entry is never to expire.")
    return duration


def to_type(content_type: str | None) -> str:
    """Return the content type of a value: JSON unless another one is given."""
    if content_type is None or content_type.partition(";")[0].strip().lower() == JSON_TYPE:
        return JSON_TYPE
    return content_type


def increment(key: str, by: float) -> Increment:
    """Return the addition to a number; raises Invalid."""
    if isinstance(by, bool) or not isinstance(by, int | float):
        raise Invalid(f"increment of {key!r} is by a number.")
    return Increment(key, by)


def append(key: str, value: Any, max_length: int | None) -> Append:
    """Return the addition to a list; raises Invalid or NotJson."""
    if max_length is not None and not 1 <= max_length <= LONGEST_LIST:
        raise Invalid(f"The max_length of {key!r} is 1 to {LONGEST_LIST}.")
    return Append(key, _encoded(value), max_length)


def raise_to(key: str, value: float | str) -> Max:
    """Return the operation that writes a value if it is greater; raises NotJson."""
    return Max(key, _encoded(value))


def check(draft: KvDraft, key: str, version: int | None, value: Any, *, absent: bool) -> None:
    """Raise CheckFailed unless the entry is as given by exactly one of `version`, `value` and `absent`."""
    if (version is not None) + (value is not UNSET) + absent != 1:
        raise Invalid(f"A check of {key!r} takes one of 'version', 'value' and 'absent'.")
    draft.check(Check(key, version, None if value is UNSET else _encoded(value)))


def _encoded(value: Any) -> bytes:
    return json_text.dumps(value).encode()
