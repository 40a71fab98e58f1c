"""The driver, with which tests run handlers and read their runs, logs and kv."""

import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from operator import methodcaller
from typing import Any, Self

from rota.domain.calendars.days import listed
from rota.domain.calendars.source import Source, SourceKind
from rota.domain.kv.entries import KvEntry
from rota.domain.kv.operations import Set
from rota.domain.kv.present import JSON_TYPE
from rota.domain.primitives.ids import Id
from rota.domain.primitives.json import json_text
from rota.domain.primitives.json.unset import UNSET
from rota.domain.primitives.times.durations import parse_duration
from rota.domain.primitives.times.instants import parse_date, parse_instant
from rota.domain.runs.model import Attempt, LogLine
from rota.domain.runs.status import RunStatus
from rota.domain.tasks.task import Task
from rota.errors import Invalid
from rota.handlers.registry import register
from rota.sdk.decorator import handler_of
from rota.sdk.tasks import Schedule, declared
from rota.store.calendars.changes import PutCalendar
from rota.store.completion.registrations import to_register
from rota.store.kv import entries as kv
from rota.store.kv.transactions import Transact
from rota.store.runs.listing.filters import RunFilter
from rota.store.runs.logs import list_lines
from rota.store.runs.reading import find_run, list_attempts, list_runs
from rota.store.task_rows import find_task
from rota.store.tasks.run_commands import CancelRun, RunNow
from rota.testing.fake_service import FakeService
from rota.testing.run_view import RunFailed, RunView, view

# pytest shows the line of the test, and not the lines here that raise RunFailed.
_FOUND_FAILED = methodcaller("errisinstance", RunFailed)
_MANUAL = {"type": "manual"}
_BY = "test"
_PAGE = 1_000
_MOST_LINES = 1_000_000


class Driver:
    """Registers tasks, moves the clock, and returns their runs.

    Time stops until `advance`, `advance_to` or `run` moves it; then each fire time and each retry up to the new time is
    executed at its time, in order. A handler sleeps in fake time, and waits for a socket or a thread in real time.
    A `def` handler is called in the test's own thread and takes no time; one with `isolation="process"` is called in
    this process. Constraints count as met, and runs of `http` never start.
    """

    def __init__(
        self,
        *,
        now: str | datetime = "2026-01-01T00:00:00Z",
        handlers: Iterable[Callable[..., Any]] = (),
    ) -> None:
        """`handlers` are further handlers that tasks may name, besides those passed to `register`."""
        self._service = FakeService(_instant(now))
        self._finalizer = weakref.finalize(self, self._service.close)
        for function in handlers:
            self._add_handler(function)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database; otherwise that happens when the driver is garbage-collected."""
        self._finalizer()

    @property
    def now(self) -> datetime:
        return self._service.clock.now()

    def register(
        self,
        name: str,
        *,
        handler: str | Callable[..., Any],
        schedule: Schedule = _MANUAL,
        kv: Mapping[str, Any] | None = None,
        on_conflict: str = "update",
        **fields: Any,
    ) -> Task:
        """Register a task as a client would, with entries in its kv; without a schedule it only runs on request.

        Raises ValueError, with a pointer to the fault, for invalid fields; Conflict for a name that is taken.
        """
        if not isinstance(handler, str):
            self._add_handler(handler)
        made = declared(name, handler, schedule, on_conflict, fields)
        try:
            with self._service.database.read() as connection:
                command = to_register(connection, made, _BY)
            task = self._service.database.do(command).task
        except Invalid as error:
            raise ValueError(error.detail) from None
        for key, value in (kv or {}).items():
            self.set_kv(name, key, value)
        return task

    def set_calendar(self, name: str, dates: Iterable[str | date]) -> None:
        """Declare a calendar that schedules may leave out (`exclude`), with these days, or change it."""
        days = tuple(sorted({parse_date(str(each)) for each in dates}))
        source = Source(SourceKind.DATES, dates=days, spans=listed(days))
        made = PutCalendar(name=name, source=source, description=None, by=_BY)
        self._service.database.do(made)

    def advance(self, by: float | str | timedelta, *, check: bool = False) -> None:
        """Move the clock by seconds, text such as "30d" or a timedelta; what comes due meanwhile is executed.

        With `check`, raises RunFailed with the error of the first run that has failed meanwhile.
        """
        __tracebackhide__ = _FOUND_FAILED
        self._run_until(self.now + parse_duration(by), check=check)

    def advance_to(self, at: str | datetime, *, check: bool = False) -> None:
        """Move the clock to a time with an offset, as `advance` does; raises ValueError if it has passed."""
        __tracebackhide__ = _FOUND_FAILED
        until = _instant(at)
        if until < self.now:
            raise ValueError(f"it is {self.now} already: the clock cannot be moved back")
        self._run_until(until, check=check)

    def run(
        self,
        name: str,
        *,
        input: Any = UNSET,
        within: float | str | timedelta = "1d",
        check: bool = False,
    ) -> RunView:
        """Run a task now, with its input or another one; return the run when it has ended, retries included.

        The clock moves as far as necessary. Raises TimeoutError if the run has not ended `within` that time, and with
        `check` RunFailed, which shows the error, if it has not succeeded.
        """
        __tracebackhide__ = _FOUND_FAILED
        text = None if input is UNSET else json_text.dumps(input)
        made = self._service.database.do(RunNow(task=name, input=text))
        self._service.run_until(self.now + parse_duration(within), awaited=made.id)
        run = self.find_run(made.id)
        if run.finished_at is None:
            raise TimeoutError(_unfinished(run))
        if check and run.status != RunStatus.SUCCEEDED:
            raise RunFailed(run)
        return run

    def cancel(self, run: RunView | Id) -> None:
        """Cancel a run, as a client would; a running one is notified when the clock moves next."""
        self._service.database.do(CancelRun(_id(run)))

    def runs(self, name: str | None = None) -> list[RunView]:
        """Return the runs of a task, or all runs, by fire time."""
        wanted = RunFilter(task=() if name is None else (name,))
        with self._service.database.read() as connection:
            if name is not None:
                find_task(connection, name)
            found = []
            position = None
            while page := list_runs(connection, wanted, position, _PAGE, whole=True):
                found.extend(page)
                position = (page[-1].scheduled_for, page[-1].id)
        return [view(run) for run in reversed(found)]

    def find_run(self, id: Id) -> RunView:
        """Return a run as it is now."""
        with self._service.database.read() as connection:
            return view(find_run(connection, id))

    def attempts(self, run: RunView | Id) -> list[Attempt]:
        """Return the attempts of a run, in order."""
        with self._service.database.read() as connection:
            return list_attempts(connection, find_run(connection, _id(run)))

    def logs(self, run: RunView | Id) -> list[LogLine]:
        """Return the lines that all attempts of a run logged, by `ctx.log` or `logging`. pytest captures output."""
        with self._service.database.read() as connection:
            lines = list_lines(connection, _id(run), (0, 0), _MOST_LINES)
        return [line for _, line in lines]

    def task(self, name: str) -> Task:
        """Return a task as it is now; raises NotFound."""
        with self._service.database.read() as connection:
            return find_task(connection, name)

    def kv(self, name: str) -> dict[str, Any]:
        """Return the entries of a task's kv, without those of Rota (`_result`); values that are not JSON are bytes."""
        with self._service.database.read() as connection:
            found = kv.list_entries(connection, name, kv.KvFilter(), self.now, limit=_MOST_LINES)
        return {each.key: _value(each) for each in found if each.key[0] != "_"}

    def set_kv(self, name: str, key: str, value: Any) -> None:
        """Write an entry as a client would."""
        text = json_text.dumps(value).encode()
        self._service.database.do(Transact(task=name, operations=(Set(key, text),), by=_BY))

    def _run_until(self, until: datetime, *, check: bool) -> None:
        __tracebackhide__ = _FOUND_FAILED
        self._service.run_until(until)
        if check and self._service.failed:
            raise RunFailed(self.find_run(self._service.failed[0]))

    def _add_handler(self, function: Callable[..., Any]) -> None:
        spec = handler_of(function)
        if spec is None:
            raise ValueError(f"{function!r} is not a function with the decorator @handler")
        known = self._service.handlers.get(spec.name)
        if known is None or known.function is not function:
            # The value, not the declared function: there may be decorators above @handler.
            self._service.add_handler(register(replace(spec, function=function), _BY))


def _instant(at: str | datetime) -> datetime:
    if isinstance(at, datetime):
        if at.utcoffset() is None:
            raise ValueError("give a time with an offset")
        at = at.isoformat()
    return parse_instant(at)


def _unfinished(run: RunView) -> str:
    waiting = f", waiting on {', '.join(run.waiting_on)}" if run.waiting_on else ""
    error = "" if run.error is None else f"; its last attempt: {run.error.in_short}"
    return f"the run of {run.task!r} is still {run.status}{waiting}{error}"


def _value(entry: KvEntry) -> Any:
    return json_text.loads(entry.value) if entry.content_type == JSON_TYPE else entry.value


def _id(run: RunView | Id) -> Id:
    return run if isinstance(run, str) else run.id
