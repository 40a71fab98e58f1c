"""Insertion of new runs."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import insert, text, update
from sqlalchemy.dialects import postgresql, sqlite

from rota.db.bulk import Bulk
from rota.db.command import Transaction
from rota.db.tables import run
from rota.domain.effects import RunEnded, SpanExtended
from rota.domain.primitives.ids import Id
from rota.domain.runs.lineage import Link, LinkKind
from rota.domain.runs.overlap import has_line
from rota.domain.runs.plan import DueTask, PlannedRun
from rota.domain.runs.status import RunStatus, Trigger
from rota.store.replicas import known_handlers
from rota.store.runs.lineage import continue_chains, insert_links
from rota.store.runs.new_run import NewRun, new_run
from rota.store.runs.overlap import lines, place
from rota.store.runs.waiting import WAITING_ON_CONSTRAINTS, WAITING_ON_HANDLER, emit_waiting

_NOT_COLUMNS = {"fed_by"}
# Set only if a predecessor has kept the run from running.
_OF_ERRORS = ("error", "error_type")
COLUMNS = tuple(
    each.name for each in fields(NewRun) if each.name not in _NOT_COLUMNS.union(_OF_ERRORS)
)


def _insert_once(insert: Any) -> Bulk:
    """A fire time that has its run already (the schedule was replaced, the clock set back) gets no second one."""
    once = insert.on_conflict_do_nothing(
        index_elements=["task_id", "scheduled_for"], index_where=text("trigger = 'schedule'")
    )
    return Bulk(once, COLUMNS, apart=True)


_INSERT = Bulk(insert(run), (*COLUMNS, *_OF_ERRORS), apart=True)
_SQLITE_INSERT = _insert_once(sqlite.insert(run))
_POSTGRES_INSERT = _insert_once(postgresql.insert(run))


def insert_planned(
    tx: Transaction, planned: Sequence[tuple[DueTask, Sequence[PlannedRun]]]
) -> set[Id]:
    """Insert the runs that the schedules of locked tasks planned; return the tasks with a run that is queued."""
    in_line = lines(tx, {due.id for due, _ in planned if has_line(due.overlap_policy)})
    made: list[NewRun] = []
    for due, runs in planned:
        new = [_to_new_run(tx, due, each) for each in runs if not _extended(tx, due, each)]
        line = in_line.get(due.id)
        # Nearly always there is one run, which meets no other and starts under any policy.
        if line is not None and (line.last is not None or len(new) > 1):
            place(tx, due.overlap_policy, new, line)
        if due.registered_by is not None and new:
            new[0].fed_by = (Link(due.registered_by, LinkKind.REGISTRATION),)
        made.extend(new)
    continue_chains(tx.connection, made)
    _insert(tx, made, _SQLITE_INSERT if tx.is_sqlite else _POSTGRES_INSERT)
    insert_links(tx, made)
    return {each.task_id for each in made if each.status is RunStatus.QUEUED}


def insert_runs(tx: Transaction, made: Sequence[NewRun]) -> None:
    """Insert new runs of locked tasks: blocked, if their handler or their constraints are to be waited for."""
    _insert(tx, made, _INSERT)
    insert_links(tx, made)


def _insert(tx: Transaction, made: Sequence[NewRun], statement: Bulk) -> None:
    if not made:
        return
    known = known_handlers(tx.connection)
    for each in made:
        if each.status is RunStatus.QUEUED:
            _block(each, known)
    statement.execute(tx.connection, [vars(each) for each in made])
    emit_waiting(
        tx,
        (
            (each.status, each.waiting_on, each.queue, each.not_before)
            for each in made
            if not each.status.final
        ),
    )
    tx.effects.extend(
        RunEnded(
            each.id,
            each.task_id,
            each.status,
            each.reason,
            each.trigger,
            each.concurrency_key,
            count=each.count,
        )
        for each in made
        if each.status.final
    )


def _block(new: NewRun, known: frozenset[str]) -> None:
    """Block a queued run that its handler or its constraints hold back. A time ahead is waited for first."""
    if new.handler not in known:
        new.status, new.waiting_on = RunStatus.BLOCKED, WAITING_ON_HANDLER
    elif new.constrained and new.not_before is None:
        new.status, new.waiting_on = RunStatus.BLOCKED, WAITING_ON_CONSTRAINTS


def _extended(tx: Transaction, due: DueTask, planned: PlannedRun) -> bool:
    """Add a skipped span to the one before it, if that is of the same reason; what is skipped in a row is one run."""
    span = due.open_span
    if (
        span is None
        or planned.reason is not span.reason
        or planned.scheduled_for != due.next_fire_at
    ):
        return False
    extended = tx.connection.execute(
        update(run)
        .where(run.c.id == span.run_id, run.c.status == RunStatus.SKIPPED)
        .values(
            count=run.c.count + planned.count,
            scheduled_until=planned.scheduled_until or planned.scheduled_for,
        )
    )
    if extended.rowcount != 1:
        return False
    tx.effects.append(SpanExtended(span.run_id, due.id, span.reason, planned.count))
    return True


def _to_new_run(tx: Transaction, due: DueTask, planned: PlannedRun) -> NewRun:
    made = new_run(
        due.definition,
        tx.now,
        due.id,
        due.generation,
        Trigger.SCHEDULE,
        planned.scheduled_for,
        due.input,
    )
    made.count, made.scheduled_until = planned.count, planned.scheduled_until
    made.traceparent = due.traceparent
    if planned.status is not RunStatus.QUEUED:
        made.skip(planned.reason)
        made.id = planned.id or made.id
    return made
