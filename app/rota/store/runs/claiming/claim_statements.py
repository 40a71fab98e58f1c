"""The statements of a claim, built once each: building them costs more than executing them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, assert_never

from sqlalchemy import (
    ColumnElement,
    Integer,
    bindparam,
    func,
    literal_column,
    not_,
    or_,
    select,
    update,
)

from rota.db.tables import run
from rota.db.types import is_one_of, spelled_out
from rota.domain.runs.status import RunStatus

QUEUED = run.c.status == spelled_out(RunStatus.QUEUED)
READY = (QUEUED, run.c.not_before.is_(None))
_ORDER = (run.c.priority.desc(), run.c.scheduled_for, run.c.id)
_CLAIMABLE = (
    run.c.queue == bindparam("g_queue"),
    *READY,
    run.c.handler.in_(bindparam("g_handlers", expanding=True)),
)
LOST_BEFORE = run.c.lost_count > literal_column("0")
# In the order of the fields of a ClaimedRun; last what only the order of the runs needs.
CLAIMED = (
    run.c.id,
    run.c.task_id,
    run.c.handler,
    run.c.queue,
    run.c.attempt,
    run.c.failures,
    run.c.lost_count,
    run.c.conflict_count,
    run.c.trigger,
    run.c.scheduled_for,
    run.c.first_started_at,
    run.c.started_at,
    run.c.input,
    run.c.concurrency_key,
    run.c.constrained,
    run.c.traceparent,
    run.c.chain_id,
    run.c.priority,
)

Guard = Callable[[], ColumnElement[bool]]


@dataclass(frozen=True, slots=True)
class Taker:
    """Who starts runs: `may` is the guard that it may, `marks` the columns that say that it holds them.

    The statements have a parameter `g_<column>` for each of these.
    """

    may: Callable[[bool], ColumnElement[bool]]
    marks: tuple[str, ...]


class Suspects(StrEnum):
    """Whether a claim is for runs that were lost with their process before: these are executed by themselves."""

    WITH = "with"  # all
    WITHOUT = "without"
    ONLY = "only"


def without_key() -> ColumnElement[bool]:
    """Guard: a run with a key that was queued since the limits were read is for the next claim."""
    return run.c.concurrency_key.is_(None)


def _among(suspects: Suspects) -> Sequence[ColumnElement[bool]]:
    """Guard: a run that was lost before runs beside nothing that it could end with its process."""
    match suspects:
        case Suspects.WITH:
            return ()
        case Suspects.WITHOUT:
            return (not_(LOST_BEFORE),)
        case Suspects.ONLY:
            return (LOST_BEFORE,)
        case _:
            assert_never(suspects)


@lru_cache
def candidates(suspects: Suspects, *guards: Guard) -> Any:
    """Return the query for the candidates of a claim, the best first."""
    return (
        select(run.c.id, run.c.concurrency_key, run.c.concurrency_limit)
        .where(*_CLAIMABLE, *_among(suspects), *(guard() for guard in guards))
        .where(
            or_(
                run.c.concurrency_key.is_(None),
                run.c.concurrency_key.not_in(bindparam("g_without", expanding=True)),
            )
        )
        .order_by(*_ORDER)
        .limit(bindparam("g_limit", type_=Integer))
    )


@lru_cache
def starting_best(is_sqlite: bool, taker: Taker, suspects: Suspects, *guards: Guard) -> Any:  # noqa: FBT001
    """Return the statement that starts the best runs of a queue."""
    # MATERIALIZED and SKIP LOCKED: replicas take different rows, and the planner does not run the LIMIT twice.
    due = (
        select(run.c.id)
        .where(*_CLAIMABLE, *_among(suspects), *(guard() for guard in guards))
        .order_by(*_ORDER)
        .limit(bindparam("g_limit", type_=Integer))
        .with_for_update(skip_locked=True)
        .cte("due")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    return _starting(taker, run.c.id.in_(select(due.c.id)), taker.may(is_sqlite))


@lru_cache
def starting_these(is_sqlite: bool, taker: Taker) -> Any:  # noqa: FBT001
    """Return the statement that starts certain runs (`g_ids`), except those that another replica has claimed."""
    # Not `not_before IS NULL`: a planner without statistics would go through all of `ix_run_claim` for these few ids.
    now = bindparam("g_now", type_=run.c.not_before.type)
    is_due = func.coalesce(run.c.not_before, now) <= now
    free = (
        select(run.c.id)
        .where(is_one_of(run.c.id, "g_ids"), QUEUED, is_due)
        .with_for_update(skip_locked=True)
        .cte("free")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    return _starting(taker, run.c.id.in_(select(free.c.id)), taker.may(is_sqlite))


def _starting(taker: Taker, *which: ColumnElement[bool]) -> Any:
    now = bindparam("g_now", type_=run.c.started_at.type)
    return (
        update(run)
        .where(*which, run.c.status == spelled_out(RunStatus.QUEUED))
        .values(
            status=RunStatus.RUNNING,
            attempt=run.c.attempt + 1,
            started_at=now,
            first_started_at=func.coalesce(run.c.first_started_at, now),
            outcome=None,
            error=None,
            error_type=None,
            progress=None,
            waiting_on=None,
            **{name: bindparam(f"g_{name}", type_=run.c[name].type) for name in taker.marks},
        )
        .returning(*CLAIMED)
    )
