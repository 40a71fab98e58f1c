"""The facts behind an explanation, read in one snapshot."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, and_, func, or_, select

from rota.db.tables import replica, run
from rota.db.types import spelled_out
from rota.domain.access.names import UNLIMITED, NameLimit
from rota.domain.alerts.rules import AlertKind
from rota.domain.constraints import evaluation
from rota.domain.constraints.base import PENDING
from rota.domain.constraints.definitions import Constraint
from rota.domain.constraints.descriptions import describe
from rota.domain.constraints.evaluation import PREFIX, Unmet, places, unmet
from rota.domain.constraints.kv import Kv
from rota.domain.explain.model import Awaited, Explanation, Facts, QueueState
from rota.domain.explain.run import of_run
from rota.domain.explain.task import explain_at, explain_now, explain_unplannable
from rota.domain.explain.time_slot import Slot, slot_at, slot_within, slot_without_fire
from rota.domain.holds.model import Hold
from rota.domain.primitives.ids import Id
from rota.domain.primitives.json import json_text
from rota.domain.runs.model import Run
from rota.domain.runs.status import RunStatus
from rota.domain.schedules.requested_times import RequestedTime
from rota.domain.tasks.task import Task
from rota.errors import Unplannable
from rota.store.alerts.facts import latest_ping
from rota.store.alerts.reading import raised_of
from rota.store.chains.predecessors import awaited_predecessors, named_by
from rota.store.declared_handlers import not_leasable
from rota.store.explain.explained_run import current_run, last_run_of, run_beside, run_in_slot
from rota.store.holds.reading import holds_that_matter
from rota.store.replicas import is_live
from rota.store.runs.concurrency_keys import running_with
from rota.store.runs.queues import queue_limits, running_in
from rota.store.runs.reading import find_run, list_attempts
from rota.store.scheduling.constraint_facts import entries
from rota.store.task_rows import find_task

# A backlog is counted up to here.
MOST_AHEAD = 10_000
_HIDDEN = "this key does not see it"


def explain_task(
    connection: Connection,
    found: Task,
    now: datetime,
    asked: RequestedTime | None,
    limit: NameLimit = UNLIMITED,
) -> Explanation:
    """Return why a task is not running now; or, for a requested time, why it did not or will not run.

    `limit`: the tasks that the client may see. What the definition contains about others is shown, and nothing else.
    """
    try:
        if asked is None:
            return explain_now(facts_of_now(connection, found, now, limit))
        slot = slot_within(found, asked) if asked.is_day else slot_at(found, asked.start)
        return explain_at(facts_of(connection, found, now, slot, limit), slot)
    except Unplannable as error:
        slot = slot_without_fire(found, now if asked is None else asked.start)
        return explain_unplannable(
            facts_of(connection, found, now, slot, limit), slot, error.detail
        )


def explain_waiting(connection: Connection, name: str, run_id: Id, now: datetime) -> str:
    """Return in a sentence what holds back a run of the task called `name`; empty, if it has started by now.

    It is shown to whoever may see the task: of other tasks, what their limit hides stays hidden.
    """
    found, about = find_task(connection, name), find_run(connection, run_id)
    if about.status not in {RunStatus.QUEUED, RunStatus.BLOCKED}:
        return ""
    facts = _around(connection, found, now, about, NameLimit((name,)))
    return of_run(facts, now, about, expected=True).message


def facts_of_now(
    connection: Connection, found: Task, now: datetime, limit: NameLimit = UNLIMITED
) -> Facts:
    """Return the facts that explain why a task is not running at `now`."""
    current = current_run(connection, found.id, now)
    if current is None:
        awaited = _awaited(connection, found, limit)
        last = last_run_of(connection, found)
        holds = _holds(connection, found)
        facts = Facts(task=found, now=now, last_run=last, awaited=awaited, holds=holds)
    else:
        facts = _around(connection, found, now, find_run(connection, current), limit)
    return replace(
        facts,
        raised=_raised(connection, found.id),
        heard_at=_heard_at(connection, found),
    )


def _raised(connection: Connection, task_id: Id) -> tuple[tuple[AlertKind, datetime], ...]:
    return tuple((each.kind, each.raised_at) for each in raised_of(connection, task_id))


def _heard_at(connection: Connection, found: Task) -> datetime | None:
    """Return when a task that is to be heard of was last."""
    if found.definition.expect_every is None:
        return None
    signs = (found.last_success_at, latest_ping(connection, found.id))
    return max((at for at in signs if at is not None), default=None)


def facts_of(
    connection: Connection, found: Task, now: datetime, slot: Slot, limit: NameLimit = UNLIMITED
) -> Facts:
    """Return the facts that explain why a task did or did not run in a slot."""
    covering = run_in_slot(connection, found.id, slot)
    if covering is None:
        last, holds = last_run_of(connection, found), _holds(connection, found)
        return Facts(task=found, now=now, last_run=last, holds=holds)
    return _around(connection, found, now, find_run(connection, covering), limit)


def live_handlers(connection: Connection) -> tuple[frozenset[str], int]:
    """Return the handlers that replicas with a live lease know, and how many of those there are."""
    live = select(replica.c.handlers).where(is_live(connection.dialect.name == "sqlite"))
    announced = list(connection.execute(live).scalars())
    names = frozenset(name for text in announced for name in json_text.loads(text))
    return names, len(announced)


def _around(
    connection: Connection, found: Task, now: datetime, about: Run, limit: NameLimit
) -> Facts:
    """Return the facts of a run: the state of what it waits for."""
    names, replicas = live_handlers(connection)
    handler = found.definition.handler
    is_outside = not not_leasable(connection, (handler,))
    key = found.definition.concurrency
    waits = about.status in {RunStatus.QUEUED, RunStatus.BLOCKED}
    return Facts(
        task=found,
        now=now,
        run=about,
        attempts=tuple(list_attempts(connection, about)) if about.attempt else (),
        other=run_beside(connection, about),
        queue=_queue_state(connection, about, now, limit)
        if about.status is RunStatus.QUEUED
        else None,
        handler_is_live=is_outside or handler in names,
        handler_is_outside=is_outside,
        replicas=replicas,
        with_key=running_with(connection, [key.key])[key.key] if waits and key else 0,
        unmet=_unmet(connection, found, now, about.waiting_on, limit),
        holds=_holds(connection, found),
    )


def _holds(connection: Connection, found: Task) -> tuple[Hold, ...]:
    """Return the holds that select a task, whoever has set them: they are why it does not run."""
    definition = found.definition
    return holds_that_matter(connection).of(found.name, definition.queue, definition.tags)


def _queue_state(connection: Connection, about: Run, now: datetime, limit: NameLimit) -> QueueState:
    limits = queue_limits(connection, about.queue, now)
    same = run.c.priority == about.priority
    earlier = or_(
        run.c.scheduled_for < about.scheduled_for,
        and_(run.c.scheduled_for == about.scheduled_for, run.c.id < about.id),
    )
    ahead = (
        select(run.c.id)
        .where(run.c.status == spelled_out(RunStatus.QUEUED), run.c.not_before.is_(None))
        .where(
            run.c.queue == about.queue, or_(run.c.priority > about.priority, and_(same, earlier))
        )
        .limit(MOST_AHEAD if limit.is_unlimited else 1)  # else only whether there are some is shown
    )
    counted = select(func.count()).select_from(ahead.subquery())
    return QueueState(
        name=about.queue,
        paused=limits.paused,
        concurrency=limits.concurrency,
        running=running_in(connection, about.queue),
        ahead=int(connection.execute(counted).scalar_one()),
        shows_ahead=limit.is_unlimited,
    )


def _unmet(
    connection: Connection, found: Task, now: datetime, waiting_on: Sequence[str], limit: NameLimit
) -> tuple[str, ...]:
    """Return messages about the constraints that a run waits for: why they are unmet, or that they are met by now."""
    names = {each.removeprefix(PREFIX) for each in waiting_on if each.startswith(PREFIX)}
    constraints = found.definition.constraints
    if not names or not constraints:
        return ()
    there, _ = entries(connection, places(constraints, found.name), now)
    facts = evaluation.ConstraintFacts(now=now, entries=there)
    found_unmet = {each.constraint.name: each for each in unmet(constraints, found.name, facts)}
    waited_for = [each for each in constraints if each.name in names or PENDING in names]
    return tuple(
        f"{each.name}: {_how(each, found_unmet.get(each.name), limit, checked=each.name in names)}"
        for each in waited_for
    )


def _how(constraint: Constraint, unmet: Unmet | None, limit: NameLimit, *, checked: bool) -> str:
    """Return why a constraint is not met.

    Only what is waited for: of the kv of a task that the client may not see, and of what was `checked` where the run
    is to start, since the results of probes are not stored.
    """
    if unmet is None:
        return "is met by now"
    of = constraint.task if isinstance(constraint, Kv) else None
    hidden = of is not None and not limit.covers(of)
    only_known_there = checked and not unmet.known
    return f"waits until {describe(constraint)}" if hidden or only_known_there else unmet.message


def _awaited(connection: Connection, found: Task, limit: NameLimit) -> tuple[Awaited, ...]:
    """Return the predecessors that have yet to end a run that counts, with their status."""
    if not named_by(found.definition):
        return ()
    awaited = awaited_predecessors(connection, found.id)
    return tuple(
        Awaited(
            name, (status or "there is no such task") if limit.covers(name) else _HIDDEN, ended_as
        )
        for name, status, ended_as in awaited
    )
