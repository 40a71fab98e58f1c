"""What a run waits for before it can be claimed.

In this order: the resumption of its task, the end of an earlier run (overlap), a live replica that knows its handler,
its constraints. Limits of queues and concurrency keys are checked by the claim itself.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Text, and_, case, false, literal, null, update

from rota.db.command import Transaction
from rota.db.tables import run
from rota.domain.effects import DueSooner, RunsConstrained, RunsReady
from rota.domain.primitives.ids import Id
from rota.domain.primitives.json import json_text
from rota.domain.reasons import WaitingOn
from rota.domain.runs.status import RunStatus
from rota.store.replicas import known_handlers

WAITING = (run.c.status, run.c.waiting_on, run.c.queue, run.c.not_before)
WAITING_ON_PAUSE = json_text.dumps([WaitingOn.PAUSED])
WAITING_ON_HANDLER = json_text.dumps([WaitingOn.HANDLER])
#: Until the constraints are checked for the first time; then it names those that are not met.
WAITING_ON_CONSTRAINTS = json_text.dumps(["constraint:pending"])


def waiting_on_run(run_id: Id) -> str:
    """Return the `waiting_on` of a run behind another one."""
    return json_text.dumps([f"overlap:{run_id}"])


def blocked(waiting_on: Any) -> dict[str, Any]:
    """Return what to set of runs that are to wait: `waiting_on` is the text, or its parameter."""
    return {"status": RunStatus.BLOCKED, "waiting_on": waiting_on}


def unblock(tx: Transaction, *waiting: ColumnElement[bool]) -> int:
    """Unblock runs whose wait has ended: they are queued, or wait for the next condition; return how many."""
    unknown = run.c.handler.not_in(known_handlers(tx.connection))
    rows = tx.connection.execute(
        update(run)
        .where(run.c.status == RunStatus.BLOCKED, *waiting)
        .values(next_wait(unknown))
        .returning(*WAITING)
    ).all()
    emit_waiting(tx, rows)
    return len(rows)


def wait_for_constraints() -> dict[str, Any]:
    """Return what to set of runs that only their constraints may hold back: those whose time has come."""
    return next_wait(false(), run.c.constrained)


def next_wait(
    unknown: ColumnElement[bool], constrained: ColumnElement[bool] | None = None
) -> dict[str, Any]:
    """Return what to set of runs that wait neither for a resumption nor for another run.

    `unknown`: no live replica has their handler.
    """
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


def emit_waiting(
    tx: Transaction, rows: Iterable[tuple[str, str | None, str, datetime | None]]
) -> None:
    """Report runs that wait, for those who look at them: (status, waiting_on, queue, not_before) of each."""
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
