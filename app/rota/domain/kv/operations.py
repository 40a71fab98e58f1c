"""Operations on the entries of a key-value table. Pure: the present entry and the time are arguments."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import isfinite
from typing import Any, ClassVar, Never

from rota.domain.kv.growing_list import GrowingList
from rota.domain.kv.present import JSON_TYPE, Number, Present
from rota.domain.primitives.json import json_text
from rota.errors import Invalid, NotJson

# A number longer than this is no counter any more, and would take its time to be read and written.
_MOST_BITS = 1_024


@dataclass(frozen=True, slots=True)
class Set:
    """Write a value, for `ttl` or for good."""

    op: ClassVar[str] = "set"  # its name in requests

    key: str
    value: bytes
    ttl: timedelta | None = None
    content_type: str = JSON_TYPE

    def after(self, present: Present | None, now: datetime, limit: int) -> Present | None:
        """Return the entry as the operation leaves it."""
        return _within(Present(self.value, self.content_type, _expiry(self.ttl, now)), limit)


@dataclass(frozen=True, slots=True)
class SetOnce:
    """Write a value if there is none."""

    op: ClassVar[str] = "set_once"

    key: str
    value: bytes
    ttl: timedelta | None = None
    content_type: str = JSON_TYPE

    def after(self, present: Present | None, now: datetime, limit: int) -> Present | None:
        """Return the entry as the operation leaves it."""
        written = Present(self.value, self.content_type, _expiry(self.ttl, now))
        return present or _within(written, limit)


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove the entry, if it is there."""

    op: ClassVar[str] = "delete"

    key: str

    def after(self, present: Present | None, now: datetime, limit: int) -> Present | None:
        """Return the entry as the operation leaves it."""
        return None


@dataclass(frozen=True, slots=True)
class Expire:
    """Let the entry expire after `ttl` (None: never), instead of when it would expire now."""

    op: ClassVar[str] = "expire"

    key: str
    ttl: timedelta | None

    def after(self, present: Present | None, now: datetime, limit: int) -> Present | None:
        """Return the entry as the operation leaves it."""
        return _there(present).until(_expiry(self.ttl, now))


@dataclass(frozen=True, slots=True)
class Increment:
    """Add to a number; an entry that is not there counts as 0."""

    op: ClassVar[str] = "increment"

    key: str
    by: Number

    def after(self, present: Present | None, now: datetime, limit: int) -> Present | None:
        """Return the entry as the operation leaves it."""
        return _changed(present, _incremented(_read(present, 0), self.by), limit)


@dataclass(frozen=True, slots=True)
class Append:
    """Add to the end of a list, of which the last `max_length` items are kept; no entry counts as an empty list."""

    op: ClassVar[str] = "append"

    key: str
    value: bytes
    max_length: int | None = None

    def after(self, present: Present | None, now: datetime, limit: int) -> Present | None:
        """Return the entry as the operation leaves it."""
        return _appended(present, json_text.loads(self.value), self.max_length, limit)


@dataclass(frozen=True, slots=True)
class Max:
    """Write a number or a text if it is greater than the one that is there: a cursor that never goes back."""

    op: ClassVar[str] = "max"

    key: str
    value: bytes

    def after(self, present: Present | None, now: datetime, limit: int) -> Present | None:
        """Return the entry as the operation leaves it."""
        return _greatest(present, self.value, limit)


@dataclass(frozen=True, slots=True)
class Check:
    """Fail unless the entry has this version, or this value, or (neither given) is not there."""

    op: ClassVar[str] = "check"

    key: str
    version: int | None = None
    value: bytes | None = None

    def after(self, present: Present | None, now: datetime, limit: int) -> Present | None:
        """Return the entry as the operation leaves it."""
        _check(self, present)
        return present


#: Operations with the same result in any order, so that a run that does it meets no conflict.
Commuting = Increment | Append | Max
Operation = Set | SetOnce | Delete | Expire | Increment | Append | Max | Check


class OperationFailed(Exception):  # named by what has happened, like the other errors
    """The entry `key` does not allow the operation; `detail` says why."""

    def __init__(self, key: str, detail: str) -> None:
        super().__init__(f"{key}: {detail}")
        self.key = key
        self.detail = detail


class _Impossible(Exception):
    pass


def execute(
    operation: Operation, present: Present | None, now: datetime, limit: int
) -> Present | None:
    """Return the entry after an operation, or `present` itself if nothing changes; None: there is none.

    `limit` is how many bytes a value may have. Raises OperationFailed.
    """
    try:
        return operation.after(present, now, limit)
    except _Impossible as error:
        raise OperationFailed(operation.key, str(error)) from None


def is_live(present: Present | None, now: datetime) -> bool:
    """Return whether there is an entry that has not expired."""
    return present is not None and (present.expires_at is None or present.expires_at > now)


def same_entry(one: Present | None, other: Present) -> bool:
    """Return whether two entries have the same content type, expiry and value; JSON values are compared as JSON."""
    if one is None or one.content_type != other.content_type or one.expires_at != other.expires_at:
        return False
    if one.value == other.value or one.content_type != JSON_TYPE:
        return one.value == other.value
    try:
        return json_text.equal(json_text.loads(one.value), json_text.loads(other.value))
    except Invalid:  # the stored value is damaged, so it is written again
        return False


def _expiry(ttl: timedelta | None, now: datetime) -> datetime | None:
    return None if ttl is None else now + ttl


def _there(present: Present | None) -> Present:
    return _fail("there is no such entry") if present is None else present


def _read(present: Present | None, default: Any) -> Any:
    if present is None:
        return default
    if present.content_type != JSON_TYPE:
        _fail(f"its value is {present.content_type}, not JSON")
    return present.read()


def _changed(present: Present | None, value: Any, limit: int) -> Present:
    """Return the entry with another JSON value; when it expires stays as it is."""
    try:
        encoded = json_text.dumps(value).encode()
    except NotJson as error:
        _fail(error.detail)
    return _within(Present(encoded, expires_at=present.expires_at if present else None), limit)


def _within(made: Present, limit: int) -> Present:
    if made.size > limit:
        _fail(f"its value would have {made.size} bytes; the limit is {limit}")
    return made


def _incremented(value: Any, by: Number) -> Number:
    if not _is_number(value):
        _fail(f"its value is {json_text.kind_of(value)}, not a number")
    try:
        added: Number = value + by
    except OverflowError:  # a whole number that no float can hold, and a float
        _fail("the sum is too large")
    fits = isfinite(added) if isinstance(added, float) else added.bit_length() <= _MOST_BITS
    return added if fits else _fail("the sum is too large")


def _appended(present: Present | None, item: Any, most: int | None, limit: int) -> Present:
    expires_at = present.expires_at if present else None
    try:
        made = None if present is None else present.appended(item, most)
        made = _grown(_read(present, []), item, most) if made is None else made
    except NotJson as error:
        _fail(error.detail)
    return _within(Present(made, expires_at=expires_at), limit)


def _grown(value: Any, item: Any, most: int | None) -> GrowingList:
    if not isinstance(value, list):
        _fail(f"its value is {json_text.kind_of(value)}, not a list")
    return GrowingList.of([*value, item] if most is None else [*value, item][-most:])


def _greatest(present: Present | None, value: bytes, limit: int) -> Present:
    new = json_text.loads(value)
    if not (_is_number(new) or isinstance(new, str)):
        _fail(f"the new value is {json_text.kind_of(new)}; give a number or a text")
    if present is None:
        return _within(Present(value), limit)
    old = _read(present, None)
    if _is_number(old) != _is_number(new) or not (_is_number(old) or isinstance(old, str)):
        _fail(
            f"its value is {json_text.kind_of(old)}, which cannot be compared with {json_text.kind_of(new)}"
        )
    return _changed(present, new, limit) if new > old else present


def _check(check: Check, present: Present | None) -> None:
    if check.version is None and check.value is None:
        if present is not None:
            _fail(f"it is there, with version {present.version}")
    elif present is None:
        _fail("there is no such entry")
    elif check.version is not None and present.version != check.version:
        _fail(f"it has version {present.version}")
    elif check.value is not None and not json_text.equal(
        _read(present, None), json_text.loads(check.value)
    ):
        _fail("it has another value")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _fail(detail: str) -> Never:
    raise _Impossible(detail)
