"""Validation of the messages of a child process: the code in it can write anything into its connection.

`protocol` checks the types. Here values are held to the limits of handlers in this process, as requests of clients are.
"""

from codecs import BOM_UTF8
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import isfinite
from typing import assert_never
from uuid import UUID

from rota.domain.kv.entries import Change, KvChange, check_key, encode_as
from rota.domain.kv.operations import Append, Check, Increment, Max
from rota.domain.kv.present import JSON_TYPE
from rota.domain.kv.run_writes import KvWrites, TableWrites
from rota.domain.primitives.json import json_text
from rota.domain.primitives.texts.names import VERSION_KEY, is_name
from rota.domain.primitives.times.durations import MAX_DURATION
from rota.domain.primitives.times.instants import check_year
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import (
    Cancelled,
    Conflicted,
    Failed,
    Fatal,
    RetryRequested,
    Succeeded,
)
from rota.domain.tasks.registration import MOST_BYTES, MOST_REGISTRATIONS, TaskRegistration, size_of
from rota.errors import AppError
from rota.handlers.calls.call import Limits
from rota.handlers.outcomes import HandlerOutcome

#: The levels of log lines, printed and logged.
LEVELS = frozenset({"stdout", "stderr", "debug", "info", "warning", "error"})
# A little more than the limits in `outcomes`, which leave room for the mark of a cut.
_MOST_TYPE, _MOST_MESSAGE, _MOST_TRACEBACK = 300, 2_100, 17_000


@dataclass(frozen=True, slots=True)
class Validator:
    """Checks messages; raises ValueError for content that a handler in this process could not have made."""

    limits: Limits

    def outcome(self, outcome: HandlerOutcome) -> HandlerOutcome:
        """Return an outcome that can be stored, its error cut; raises ValueError with the fault."""
        with _as_value_errors():
            match outcome:
                case Succeeded():
                    self._check_result(outcome.result)
                    self._check_tables(outcome.changes, outcome.kv_revision, outcome.others)
                    _check_instant(outcome.next_fire)
                    _check_registrations(outcome.registrations)
                    _check_phases(outcome.timings)
                case RetryRequested():
                    _check_duration(outcome.after)
                    return replace(outcome, error=_cut(outcome.error))
                case Failed() | Fatal():
                    return replace(outcome, error=_cut(outcome.error))
                case Conflicted():
                    _check_key(outcome.key)
                    _check_task(outcome.task)
                case Cancelled():
                    pass
                case _:
                    assert_never(outcome)
        return outcome

    def line(self, level: object, message: object) -> tuple[str, str]:
        """Return the level and the text of a log line; raises ValueError for an unknown level."""
        if level not in LEVELS:
            raise ValueError("a log line of an unknown level")
        return str(level), str(message)

    def writes(self, writes: KvWrites) -> KvWrites:
        """Return the writes of a checkpoint if they can be stored; raises ValueError with the fault."""
        with _as_value_errors():
            self._check_tables(writes.changes, writes.revision, writes.others)
        return writes

    def _check_result(self, text: str) -> None:
        size = len(text.encode())
        if size > self.limits.result_bytes:
            raise ValueError(
                f"the result has {size} bytes; the limit is {self.limits.result_bytes}"
            )
        json_text.loads(text)

    def _check_tables(
        self, own: Iterable[Change], revision: int, others: Iterable[TableWrites]
    ) -> None:
        _check_count(revision)
        self._check_changes(own)
        for other in others:
            UUID(other.task_id)
            _check_task(other.task)
            _check_count(other.revision)
            self._check_changes(other.changes)

    def _check_changes(self, changes: Iterable[Change]) -> None:
        for change in changes:
            _check_key(change.key)
            match change:
                case KvChange():
                    _check_duration(change.ttl)
                    self._check_value(change.key, change.value, change.content_type)
                case Increment():
                    if not isfinite(change.by):
                        raise ValueError("an increment by an infinite number")
                case Append():
                    _check_count(change.max_length or 0)
                    self._check_value(change.key, change.value)
                case Check():
                    _check_count(change.version or 0)
                    self._check_value(change.key, change.value)
                case Max():
                    self._check_value(change.key, change.value)
                case _:
                    assert_never(change)

    def _check_value(self, key: str, value: bytes | None, content_type: str = JSON_TYPE) -> None:
        if value is None:
            return
        if content_type != JSON_TYPE:
            encode_as(content_type, key, value, self.limits.value_bytes)
        elif len(value) > self.limits.value_bytes:
            raise ValueError(
                f"a value of {len(value)} bytes; the limit is {self.limits.value_bytes}"
            )
        elif value.startswith(BOM_UTF8):
            raise ValueError("a value that begins with a byte order mark")
        else:
            json_text.loads(value)


def _cut(error: RunError) -> RunError:
    """Return an error cut to the length of those made in the service, with only characters that can be stored.

    It has no `response`: only the `http` handler has one, and it never runs in a child.
    """
    trace = error.traceback
    return RunError(
        json_text.printable(error.type, _MOST_TYPE),
        json_text.printable(error.message, _MOST_MESSAGE),
        None if trace is None else json_text.printable(trace, _MOST_TRACEBACK),
    )


@contextmanager
def _as_value_errors() -> Iterator[None]:
    """Raise errors about keys, values and numbers as ValueError."""
    try:
        yield
    except (AppError, OverflowError) as error:
        raise ValueError(str(error)) from None


def _check_phases(timings: Mapping[str, float] | None) -> None:
    """Only `http`, which runs in this process, has phases."""
    if timings is not None:
        raise ValueError("a call in a process has no phases")


def _check_registrations(made: Collection[TaskRegistration]) -> None:
    if len(made) > MOST_REGISTRATIONS or sum(map(size_of, made)) > MOST_BYTES:
        raise ValueError("more registrations than a run may make")


def _check_key(key: str) -> None:
    if key != VERSION_KEY:
        check_key(key)


def _check_task(name: str | None) -> None:
    if name is not None and not is_name(name):
        raise ValueError("an invalid task name")


def _check_count(number: int) -> None:
    if not 0 <= number < 2**63:
        raise ValueError("a number that is negative or too large")


def _check_duration(duration: timedelta | None) -> None:
    if duration is not None and not timedelta() <= duration <= MAX_DURATION:
        raise ValueError("a duration that is negative or too long")


def _check_instant(at: datetime | None) -> None:
    if at is not None:
        if at.tzinfo is None:
            raise ValueError("a time without an offset")
        check_year(at)
