"""What a child process says, checked as what a client sends is: the code in it can write anything into its connection.

The same contract as for handlers in this process: what these could not have made is refused.
"""

from codecs import BOM_UTF8
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import isfinite
from uuid import UUID

from rota.domain.kv.entries import Change, KvChange, check_key, encode_as
from rota.domain.kv.operations import Append, Check, Increment, Max
from rota.domain.kv.present import JSON_TYPE
from rota.domain.kv.run_writes import KvWork, TableChanges
from rota.domain.primitives import json_text
from rota.domain.primitives.durations import MAX_DURATION
from rota.domain.primitives.instants import check_year
from rota.domain.primitives.names import VERSION_KEY, is_name
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Conflicted, Failed, Fatal, Outcome, RetryRequested, Succeeded
from rota.domain.tasks.registration import MOST_BYTES, MOST_REGISTRATIONS, TaskRegistration, size_of
from rota.errors import AppError

#: The levels of lines: what is printed, and what is logged.
LEVELS = frozenset({"stdout", "stderr", "debug", "info", "warning", "error"})
# A little more than `outcomes` leaves of an error, with its mark of what was cut.
_MOST_TYPE, _MOST_MESSAGE, _MOST_TRACEBACK = 300, 2_100, 17_000


@dataclass(frozen=True, slots=True)
class Inspection:
    """The limits, in bytes, of what an attempt may hand over."""

    max_result_bytes: int
    max_value_bytes: int

    def outcome(self, ended: Outcome) -> Outcome:
        """Return an outcome that may be stored; raises ValueError, saying what is wrong."""
        with _as_value_errors():
            match ended:
                case Succeeded():
                    self._result(ended.result)
                    self._tables(ended.changes, ended.kv_revision, ended.others)
                    _check_instant(ended.next_fire)
                    _check_registrations(ended.registrations)
                case RetryRequested():
                    _check_duration(ended.after)
                    return replace(ended, error=_cut(ended.error))
                case Failed() | Fatal():
                    return replace(ended, error=_cut(ended.error))
                case Conflicted():
                    _check_key(ended.key)
                    _check_task(ended.task)
        return ended

    def line(self, level: object, message: object) -> tuple[str, str]:
        """Return the level and the text of a line of the journal; raises ValueError for a level that is none."""
        if level not in LEVELS:
            raise ValueError("a line of a level that there is not")
        return str(level), str(message)

    def work(self, done: KvWork) -> KvWork:
        """Return a check-point that may be stored; raises ValueError, saying what is wrong."""
        with _as_value_errors():
            self._tables(done.changes, done.revision, done.others)
        return done

    def _result(self, text: str) -> None:
        size = len(_check_text(text).encode())
        if size > self.max_result_bytes:
            raise ValueError(f"the result has {size} bytes; the limit is {self.max_result_bytes}")
        json_text.loads(text)

    def _tables(self, own: Iterable[Change], revision: int, others: Iterable[TableChanges]) -> None:
        _check_count(revision)
        self._changes(own)
        for other in others:
            UUID(other.task_id)
            _check_task(other.task)
            _check_count(other.revision)
            self._changes(other.changes)

    def _changes(self, changes: Iterable[Change]) -> None:
        for change in changes:
            _check_key(change.key)
            self._change(change)

    def _change(self, change: Change) -> None:
        match change:
            case KvChange():
                _check_duration(change.ttl)
                self._value(change.key, change.value, _check_text(change.content_type))
            case Increment():
                if type(change.by) not in {int, float} or not isfinite(change.by):
                    raise ValueError("an increment that is no number")
            case Append():
                _check_count(change.max_length or 0)
                self._value(change.key, change.value)
            case Check():
                _check_count(change.version or 0)
                self._value(change.key, change.value)
            case Max():
                self._value(change.key, change.value)

    def _value(self, key: str, value: bytes | None, content_type: str = JSON_TYPE) -> None:
        if value is None:
            return
        if content_type != JSON_TYPE:
            encode_as(content_type, key, value, self.max_value_bytes)
        elif len(value) > self.max_value_bytes:
            raise ValueError(f"a value of {len(value)} bytes; the limit is {self.max_value_bytes}")
        elif value.startswith(BOM_UTF8):
            raise ValueError("a value that begins with a byte order mark")
        else:
            json_text.loads(value)


def _cut(error: RunError) -> RunError:
    """Return an error as long as those are that are made here, and as any database can keep it.

    Only the `http` handler has the response of a target, and it runs in no process of its own.
    """
    trace = error.traceback
    return RunError(
        json_text.printable(error.type, _MOST_TYPE),
        json_text.printable(error.message, _MOST_MESSAGE),
        None if trace is None else json_text.printable(trace, _MOST_TRACEBACK),
    )


@contextmanager
def _as_value_errors() -> Iterator[None]:
    """Raise what is wrong with a key, a value or a number as the other errors of a message are raised."""
    try:
        yield
    except (AppError, OverflowError) as error:
        raise ValueError(str(error)) from None


def _check_registrations(made: Collection[TaskRegistration]) -> None:
    if len(made) > MOST_REGISTRATIONS or sum(map(size_of, made)) > MOST_BYTES:
        raise ValueError("more registrations than a run may make")


def _check_key(key: str) -> None:
    if _check_text(key) != VERSION_KEY:
        check_key(key)


def _check_task(name: str | None) -> None:
    if name is not None and not is_name(_check_text(name)):
        raise ValueError("what is no name of a task")


def _check_text(text: str) -> str:
    if not isinstance(text, str):
        raise TypeError("what is to be text is something else")
    return text


def _check_count(number: int) -> None:
    if type(number) is not int or not 0 <= number < 2**63:
        raise ValueError("what is to be a whole number from 0 on is something else")


def _check_duration(duration: timedelta | None) -> None:
    if duration is not None and not timedelta() <= duration <= MAX_DURATION:
        raise ValueError("a duration that is negative or too long")


def _check_instant(at: datetime | None) -> None:
    if at is not None:
        if at.tzinfo is None:
            raise ValueError("a time without an offset")
        check_year(at)
