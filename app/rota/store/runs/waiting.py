"""Gates: what a run waits for before it can be claimed.

In this order: the resumption of its task, the end of an earlier run (overlap), a live replica that knows its handler,
its constraints. Limits of queues and concurrency keys are looked at in the claim itself.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any

from sqlalchemy import ColumnElement, Text, and_, case, false, literal, null, update

from rota.db.tables import run
from rota.db.writer import Transaction
from rota.domain.effects import DueSooner, RunEnded, RunsConstrained, RunsReady
from rota.domain.primitives import json_text
from rota.domain.reasons import WaitingOn
from rota.domain.runs.status import RunStatus
from rota.store.replicas import known_handlers

_WAITING = itemgetter("status", "waiting_on", "queue", "not_before")
WAITING_ON_PAUSE = json_text.dumps([WaitingOn.PAUSED])
WAITING_ON_HANDLER = json_text.dumps([WaitingOn.HANDLER])
#: Until the constraints have been looked at for the first time; then it names those that are not met.
WAITING_ON_CONSTRAINTS = json_text.dumps(["constraint:pending"])


def insertable(row: dict[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """Return the row of a new run as it is inserted: blocked, if a gate holds it. A time ahead is waited for first.

    One that is not `queued` (skipped, or behind another run) stays as it is.
    """
    # Every row has the same members, since they are inserted by one statement.
    row.setdefault("waiting_on", None)
    if row["status"] is RunStatus.QUEUED:
        if row["handler"] not in known:
            row["status"], row["waiting_on"] = RunStatus.BLOCKED, WAITING_ON_HANDLER
        elif row["constrained"] and row["not_before"] is None:
            row["status"], row["waiting_on"] = RunStatus.BLOCKED, WAITING_ON_CONSTRAINTS
    return row


def tell_inserted(tx: Transaction, rows: Sequence[Mapping[str, Any]]) -> None:
    """Tell who has to look at runs that were inserted, or made final by their insertion."""
    tell(tx, [_WAITING(row) for row in rows if not row["status"].final])
    tx.effects.extend(
        RunEnded(
            row["id"],
            row["task_id"],
            row["status"],
            row["reason"],
            row["trigger"],
            row["concurrency_key"],
        )
        for row in rows
        if row["status"].final
    )


def let_through(tx: Transaction, waiting: ColumnElement[bool]) -> int:
    """Let blocked runs through the gate that held them, up to the next one that holds them; return how many."""
    unknown = run.c.handler.not_in(known_handlers(tx.connection))
    rows = tx.connection.execute(
        update(run)
        .where(run.c.status == RunStatus.BLOCKED, waiting)
        .values(next_gate(unknown))
        .returning(run.c.status, run.c.waiting_on, run.c.queue, run.c.not_before)
    ).all()
    tell(tx, rows)
    return len(rows)


def gate_of_constraints() -> dict[str, Any]:
    """Return what to set of runs that only their constraints may hold: those whose time has come."""
    return next_gate(false(), run.c.constrained)


def next_gate(
    unknown: ColumnElement[bool], constrained: ColumnElement[bool] | None = None
) -> dict[str, Any]:
    """Return what to set of runs that no pause and no other run holds; `unknown`: no live replica has their handler."""
    if constrained is None:
        constrained = and_(run.c.constrained, run.c.not_before.is_(None))
    return {
        "status": case(
            (unknown, RunStatus.BLOCKED), (constrained, RunStatus.BLOCKED), else_=RunStatus.QUEUED
        ),
        "waiting_on": case(
            (unknown, literal(WAITING_ON_HANDLER, Text)),
            (constrained, literal(WAITING_ON_CONSTRAINTS, Text)),
            else_=null(),
        ),
    }


def tell(tx: Transaction, rows: Iterable[Any]) -> None:
    """Tell who has to look at runs that wait: (status, waiting_on, queue, not_before) of each."""
    ready: set[str] = set()
    delayed: list[datetime] = []
    constrained = False
    for status, waiting_on, queue, not_before in rows:
        if status != RunStatus.QUEUED:
            constrained = constrained or waiting_on == WAITING_ON_CONSTRAINTS
        elif not_before is None:
            ready.add(queue)
        else:
            delayed.append(not_before)
    tx.effects.extend(RunsReady(queue) for queue in sorted(ready))
    if delayed:
        tx.effects.append(DueSooner(min(delayed)))
    if constrained:
        tx.effects.append(RunsConstrained())
