"""Constraints: a thread that determines, in rounds, which of the runs that wait for constraints may start.

Local and fast checks are done in the round; slow ones by the prober, which wakes the thread when it has a result.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from rota.clock import Clock
from rota.db.batching import Request
from rota.db.command import Command
from rota.db.engine import Database
from rota.db.writer import Writer
from rota.domain.constraints.evaluation import (
    ConstraintFacts,
    Probe,
    ProbeResult,
    Unmet,
    needed_probes,
    next_change,
    places,
    shortest_deadline,
    waiting_on_of,
    waits_for,
)
from rota.domain.effects import Effect, KvWritten, RunEnded, RunsConstrained
from rota.domain.primitives.ids import Id
from rota.egress.guard import Guard
from rota.engine.checks.constraint_probes import Prober
from rota.engine.timing.wakeable_thread import WakeableThread
from rota.errors import Locked, Unavailable
from rota.store.scheduling import constraint_facts
from rota.store.scheduling.constraint_facts import WaitingTask
from rota.store.scheduling.constraint_release import (
    FailOverdue,
    RecordUnmet,
    Release,
    SkipOverdue,
)

log = structlog.get_logger(__name__)

#: Tasks read in one transaction, and runs changed in one.
BATCH = 500
# The pause between two rounds is at least this long (seconds), and as long as the first of them took.
_SHORTEST_PAUSE = 0.02
_SOON = timedelta(milliseconds=100)


def load_per_processor() -> float | None:
    """Return the 1-minute load average of this machine per processor; None where the system has none."""
    try:
        return os.getloadavg()[0] / (os.cpu_count() or 1)
    except (OSError, AttributeError):
        return None


@dataclass(frozen=True, slots=True)
class _Step:
    """A command, and how many runs it changes at most."""

    command: Command[int]
    runs: int


class ConstraintChecker(WakeableThread):
    """Makes a round when it is woken, when a constraint is known to change, and at least every `interval` seconds."""

    def __init__(
        self,
        database: Database,
        writer: Writer,
        clock: Clock,
        interval: float,
        guard: Guard,
        load: Callable[[], float | None] = load_per_processor,
    ) -> None:
        super().__init__("constraints", self._make_round, interval)
        self._database = database
        self._writer = writer
        self._clock = clock
        self._longest_pause = interval
        self._load = load
        self._prober = Prober(clock, interval, self.wake, guard)
        self._watched: frozenset[Id] = frozenset()

    def start(self) -> None:
        self.wake()  # runs may be waiting already
        super().start()

    def stop(self) -> None:
        """Stop after the step in progress; waiting runs stay blocked."""
        super().stop()
        self._prober.stop()

    def committed(self, effects: Iterable[Effect]) -> None:
        """Wake up if a commit inserted waiting runs, or changed the kv of a task whose entries were read."""
        if any(self._concerns(effect) for effect in effects):
            self.wake()

    def check(self) -> datetime | None:
        """Make a round; return when a constraint is known to change next."""
        next_at: datetime | None = None
        watched: frozenset[Id] = frozenset()
        after: Id | None = None
        while not self._stopped.is_set():
            waiting, facts, tasks_read = self._read(after)
            watched |= tasks_read
            self._watched |= tasks_read  # at once: an entry may change before the round ends
            steps: list[_Step] = []
            for task in waiting:
                decided, at = self._decide(task, facts)
                steps.extend(decided)
                next_at = min(filter(None, (next_at, at)), default=None)
            self._execute(steps)
            if len(waiting) < BATCH:
                break
            after = waiting[-1].id
        self._watched = watched
        self._prober.forget()
        return next_at

    def _make_round(self) -> float | None:
        """Make a round and pause; return the seconds until the next one, None: `interval`."""
        began = self._clock.monotonic()
        try:
            next_at = self.check()
        finally:
            took = self._clock.monotonic() - began
            self._stopped.wait(min(max(_SHORTEST_PAUSE, took), self._longest_pause))
        if next_at is None:
            return None
        return min(max((next_at - self._clock.now()).total_seconds(), 0), self._longest_pause)

    def _concerns(self, effect: Effect) -> bool:
        match effect:
            case RunsConstrained():
                return True
            case KvWritten() | RunEnded():
                return effect.task_id in self._watched
            case _:
                return False

    def _read(self, after: Id | None) -> tuple[list[WaitingTask], ConstraintFacts, frozenset[Id]]:
        """Return waiting tasks, facts that are fast to determine, and the tasks whose kv entries were read for them."""
        now = self._clock.now()
        with self._database.read() as connection:
            waiting = constraint_facts.waiting_tasks(connection, after, limit=BATCH)
            wanted = [
                place for task in waiting for place in places(task.constraints or (), task.name)
            ]
            entries, tasks_read = constraint_facts.entries(connection, wanted, now)
        load = self._load() if waiting else None
        return waiting, ConstraintFacts(now=now, load=load, entries=entries), tasks_read

    def _decide(
        self, task: WaitingTask, facts: ConstraintFacts
    ) -> tuple[list[_Step], datetime | None]:
        """Return the steps for the runs of a task, and when the decision may change without an event."""
        if task.constraints is None:
            return [], None
        try:
            results = self._results(needed_probes(task.constraints, task.name, facts))
            known = ConstraintFacts(
                now=facts.now, load=facts.load, entries=facts.entries, results=results
            )
            found = waits_for(task.constraints, task.name, known)
        except Exception:  # any error here concerns this task only
            log.exception("constraints.undecidable", task=task.name)
            return [], None
        if not found:
            return [_step(task, Release(task.id, task.generation, BATCH))], None
        return list(_waiting(task, found, facts.now)), _next_at(task, found, facts.now)

    def _results(self, requested: Sequence[Probe]) -> dict[Probe, ProbeResult]:
        results = {probe: self._prober.result_of(probe) for probe in requested}
        return {probe: result for probe, result in results.items() if result is not None}

    def _execute(self, steps: Sequence[_Step]) -> None:
        """Commit steps, in groups that change at most BATCH runs, until each changes fewer."""
        for group in _grouped(steps):
            commands = [step.command for step in group]
            while commands and not self._stopped.is_set():
                requests = self._writer.call_all(commands)
                commands = [
                    command
                    for command, request in zip(commands, requests, strict=True)
                    if _changed(command, request) >= BATCH
                ]


def _waiting(task: WaitingTask, found: Sequence[Unmet], now: datetime) -> Iterator[_Step]:
    """Yield the steps for the runs of a task that cannot start: end those that waited too long, update the others."""
    deadline = shortest_deadline(found)
    if deadline is not None and task.since is not None and task.since + deadline <= now:
        yield _step(task, SkipOverdue(task.id, task.generation, deadline, BATCH))
    if task.max_elapsed and task.retry_until and task.retry_until <= now:
        yield _step(task, FailOverdue(task.id, task.generation, task.max_elapsed, BATCH))
    waiting_on = waiting_on_of(found)
    if waiting_on and task.recorded != waiting_on:
        yield _step(task, RecordUnmet(task.id, waiting_on, BATCH))


def _next_at(task: WaitingTask, found: Sequence[Unmet], now: datetime) -> datetime | None:
    deadline = shortest_deadline(found)
    overdue = None if deadline is None or task.since is None else task.since + deadline
    times = [overdue, task.retry_until, *(next_change(each.constraint, now) for each in found)]
    at = min((at for at in times if at is not None), default=None)
    # Overdue runs have just been ended: the next round determines the next deadline.
    return None if at is None else max(at, now + _SOON)


def _step(task: WaitingTask, command: Command[int]) -> _Step:
    return _Step(command, min(task.runs, BATCH))


def _grouped(steps: Iterable[_Step]) -> Iterator[list[_Step]]:
    group: list[_Step] = []
    for step in steps:
        if group and sum(each.runs for each in group) + step.runs > BATCH:
            yield group
            group = []
        group.append(step)
    if group:
        yield group


def _changed(command: Command[int], request: Request[int]) -> int:
    """Return how many runs a command has changed. Raises Unavailable."""
    error = request.exception()
    if error is None:
        return request.result()
    if isinstance(error, Locked):  # the next round tries again
        log.info("constraints.locked", command=repr(command)[:300])
        return 0
    if isinstance(error, Unavailable):
        raise error
    log.error("constraints.refused", command=repr(command)[:300], error=str(error))
    return 0
