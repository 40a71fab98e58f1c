"""Constraints: a thread that looks, in rounds, which of the runs that wait for them may start.

What is local or quick is looked at in the round; what takes time is asked of the prober, which rings when it knows.
"""

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from rota.clock import Clock
from rota.db.engine import Database
from rota.db.results import Reply
from rota.db.writer import Command, Writer
from rota.domain.constraints.evaluation import (
    Answer,
    Facts,
    Question,
    Unmet,
    next_change,
    places,
    questions,
    shortest_deadline,
    waiting_on_of,
    waits_for,
)
from rota.domain.effects import Effect, KvWritten, RunEnded, RunsConstrained
from rota.domain.primitives.ids import Id
from rota.engine.constraint_probes import Prober
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

#: Tasks read at a time, and runs changed at a time.
BATCH = 500
# A round that follows another at once leaves it at least this long, and as long as the other took.
_BREATH = 0.02
_SOON = timedelta(milliseconds=100)


def load_per_processor() -> float | None:
    """Return the load average of one minute per processor of this machine; None where there is none."""
    try:
        return os.getloadavg()[0] / (os.cpu_count() or 1)
    except (OSError, AttributeError):
        return None


@dataclass(frozen=True, slots=True)
class _Step:
    """A command, and how many runs it will change at the most."""

    command: Command[int]
    runs: int


class ConstraintChecker:
    """Makes a round when its bell rings, when something is known to change, and at least every `interval` seconds."""

    def __init__(
        self,
        database: Database,
        writer: Writer,
        clock: Clock,
        interval: float,
        load: Callable[[], float | None] = load_per_processor,
    ) -> None:
        self._database = database
        self._writer = writer
        self._clock = clock
        self._interval = interval
        self._load = load
        self._bell = threading.Event()
        self._stopped = threading.Event()
        self._prober = Prober(clock, interval, self.ring)
        self._watched: frozenset[Id] = frozenset()
        self._thread = threading.Thread(target=self._run, name="rota-constraints", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End after the step that is under way; what waits goes on waiting."""
        self._stopped.set()
        self._bell.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._prober.stop()

    def ring(self) -> None:
        """Ask for a round; safe from any thread, never waits."""
        self._bell.set()

    def note(self, effects: Iterable[Effect]) -> None:
        """Ring if a commit made runs that wait, or changed the kv of a task that is looked at."""
        if any(self._concerns(effect) for effect in effects):
            self.ring()

    def check(self) -> datetime | None:
        """Make a round; return when something is known to change next."""
        next_at: datetime | None = None
        watched: frozenset[Id] = frozenset()
        after: Id | None = None
        while not self._stopped.is_set():
            waiting, facts, looked_in = self._look(after)
            watched |= looked_in
            self._watched |= looked_in  # at once: an entry may change before the round ends
            steps: list[_Step] = []
            for task in waiting:
                made, at = self._decide(task, facts)
                steps.extend(made)
                next_at = min(filter(None, (next_at, at)), default=None)
            self._carry_out(steps)
            if len(waiting) < BATCH:
                break
            after = waiting[-1].id
        self._watched = watched
        self._prober.forget()
        return next_at

    def _run(self) -> None:
        pause = 0.0
        while not self._stopped.is_set():
            self._bell.wait(pause)
            self._bell.clear()
            if not self._stopped.is_set():
                pause = self._make_round()

    def _make_round(self) -> float:
        """Make a round, take a breath; return how many seconds the next one can wait, if nobody rings."""
        began = self._clock.monotonic()
        next_at: datetime | None = None
        try:
            next_at = self.check()
        except Unavailable as error:
            log.warning("constraints.unavailable", error=error.detail)
        except Exception:
            log.exception("constraints.failed")
        took = self._clock.monotonic() - began
        self._stopped.wait(min(max(_BREATH, took), self._interval))
        if next_at is None:
            return self._interval
        return min(max((next_at - self._clock.now()).total_seconds(), 0), self._interval)

    def _concerns(self, effect: Effect) -> bool:
        match effect:
            case RunsConstrained():
                return True
            case KvWritten() | RunEnded():
                return effect.task_id in self._watched
            case _:
                return False

    def _look(self, after: Id | None) -> tuple[list[WaitingTask], Facts, frozenset[Id]]:
        """Read what waits, and gather the facts that need no time."""
        now = self._clock.now()
        with self._database.read() as connection:
            waiting = constraint_facts.waiting_tasks(connection, after, limit=BATCH)
            wanted = [
                place for task in waiting for place in places(task.constraints or (), task.name)
            ]
            entries, looked_in = constraint_facts.entries(connection, wanted, now)
        load = self._load() if waiting else None
        return waiting, Facts(now=now, load=load, entries=entries), looked_in

    def _decide(self, task: WaitingTask, facts: Facts) -> tuple[list[_Step], datetime | None]:
        """Return what becomes of the runs of a task, and when that may change by itself."""
        if task.constraints is None:
            return [], None
        try:
            answers = self._answers(questions(task.constraints, task.name, facts))
            known = Facts(now=facts.now, load=facts.load, entries=facts.entries, answers=answers)
            found = waits_for(task.constraints, task.name, known)
        except Exception:  # whatever it is, it concerns this task only
            log.exception("constraints.undecidable", task=task.name)
            return [], None
        if not found:
            return [_step(task, Release(task.id, task.generation, BATCH))], None
        return list(_waiting(task, found, facts.now)), _next_at(task, found, facts.now)

    def _answers(self, asked: Sequence[Question]) -> dict[Question, Answer]:
        answers = {question: self._prober.ask(question) for question in asked}
        return {question: answer for question, answer in answers.items() if answer is not None}

    def _carry_out(self, steps: Sequence[_Step]) -> None:
        """Have steps committed, in groups that change at most BATCH runs, until nothing is left of them."""
        for group in _grouped(steps):
            left = [step.command for step in group]
            while left and not self._stopped.is_set():
                answers = self._writer.call_all(left)
                left = [
                    command
                    for command, answer in zip(left, answers, strict=True)
                    if _changed(command, answer) >= BATCH
                ]


def _waiting(task: WaitingTask, found: Sequence[Unmet], now: datetime) -> Iterator[_Step]:
    """Yield the steps for the runs of a task that cannot start: some have waited too long, others are told for what."""
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
    # What is overdue has just been ended: the next round sees who is next.
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


def _changed(command: Command[int], answer: Reply[int]) -> int:
    error = answer.exception()
    if error is None:
        return answer.result()
    if isinstance(error, Locked):  # the next round looks at it again
        log.info("constraints.locked", command=repr(command)[:300])
        return 0
    if isinstance(error, Unavailable):
        raise error
    log.error("constraints.refused", command=repr(command)[:300], error=str(error))
    return 0
