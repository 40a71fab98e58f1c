"""Runs, as they are read."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Select,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    or_,
    select,
)

from rota.db.expressions.byte_lengths import byte_length
from rota.db.planning import unindexed
from rota.db.tables import attempt, run, run_link, task
from rota.domain.access.names import UNLIMITED, NameLimit
from rota.domain.primitives.ids import Id
from rota.domain.runs.model import Attempt, Run
from rota.domain.runs.outcomes import AttemptOutcome
from rota.domain.runs.status import RunStatus, Trigger
from rota.errors import NotFound
from rota.store.counting import Counted, count_rows
from rota.store.json_columns import load_error, load_list, load_progress, load_timings
from rota.store.runs.listing.filters import RunFilter, has_error, matching_runs
from rota.store.runs.listing.narrowing import Way, ways

# `Row.count` is a method of tuples, so the column gets another name.
_RUN = select(run, run.c.count.label("run_count"), task.c.name.label("task_name")).join(
    task, and_(task.c.id == run.c.task_id, task.c.deleted_at.is_(None))
)


# In a list an input or a result of more bytes is left out; enough of it is read to see whether it is sealed.
MOST_LISTED = 16_384


_LARGE = ("input", "result")
_SHORTENED = [
    case(
        (byte_length(run.c[name]) <= MOST_LISTED, run.c[name]),
        else_=func.substr(run.c[name], 1, 64),
    ).label(name)
    for name in _LARGE
]


_LEFT_OUT = [(byte_length(run.c[name]) > MOST_LISTED).label(f"{name}_left_out") for name in _LARGE]


_LISTED_RUN = _RUN.with_only_columns(
    *(column for column in _RUN.selected_columns if column.name not in _LARGE),
    *_SHORTENED,
    *_LEFT_OUT,
)
# Nearly no run has links: the others need no further statement.
_IS_LINKED = or_(
    exists().where(run_link.c.fed_id == run.c.id), exists().where(run_link.c.feeding_id == run.c.id)
)
_DELETED = select(task.c.id).where(task.c.deleted_at.is_not(None))
_ONE = _RUN.where(run.c.id == bindparam("g_run"))
_ONE_LINKED = _ONE.add_columns(_IS_LINKED.label("linked"))
_STATUS = (
    select(run.c.status, task.c.name.label("task_name"))
    .join(task, and_(task.c.id == run.c.task_id, task.c.deleted_at.is_(None)))
    .where(run.c.id == bindparam("g_run"))
)
# What uses up `retry.max_attempts`.
_COUNTED = frozenset({AttemptOutcome.FAILED, AttemptOutcome.TIMED_OUT, AttemptOutcome.RETRY})


def find_run(connection: Connection, run_id: Id, limit: NameLimit = UNLIMITED) -> Run:
    """Return a run; raises NotFound, also for one of a task that the client may not see (`limit`)."""
    row = connection.execute(_ONE, {"g_run": run_id}).one_or_none()
    if row is None or not limit.covers(row.task_name):
        raise NotFound(f"There is no run {run_id}.")
    return to_run(row)


def find_run_with_links(
    connection: Connection, run_id: Id, limit: NameLimit = UNLIMITED
) -> tuple[Run, bool]:
    """Return a run, and whether there are links from or to it; raises NotFound as `find_run` does."""
    row = connection.execute(_ONE_LINKED, {"g_run": run_id}).one_or_none()
    if row is None or not limit.covers(row.task_name):
        raise NotFound(f"There is no run {run_id}.")
    return to_run(row), bool(row.linked)


def find_runs(connection: Connection, ids: Sequence[Id]) -> dict[Id, Run]:
    """Return those of the runs that are there, by id."""
    found = map(to_run, connection.execute(_RUN.where(run.c.id.in_(ids))))
    return {each.id: each for each in found}


def is_final(connection: Connection, run_id: Id, limit: NameLimit = UNLIMITED) -> bool:
    """Return whether a run has ended; raises NotFound as `find_run` does."""
    found = connection.execute(_STATUS, {"g_run": run_id}).one_or_none()
    if found is None or not limit.covers(found.task_name):
        raise NotFound(f"There is no run {run_id}.")
    return RunStatus(found.status).final


def list_runs(
    connection: Connection,
    wanted: RunFilter,
    after: tuple[datetime, Id] | None,
    limit: int,
    *,
    whole: bool = False,
) -> list[Run]:
    """Return up to `limit` runs, newest `scheduled_for` first, then newest id, after a position in that order.

    Large inputs and results are left out, and the run names them, unless they are wanted `whole`.
    """
    read = to_run if whole else _to_listed_run
    found: list[Run] = []
    for way in ways(connection, _RUN if whole else _LISTED_RUN, wanted):
        if len(found) < limit:
            rows = connection.execute(_page(way, after).limit(limit - len(found)))
            found.extend(map(read, rows))
    return found


def _page(way: Way, after: tuple[datetime, Id] | None) -> Select[Any]:
    """Return the statement for the runs after a position, newest first."""
    listing = way.listing
    # An expression, where no index is to be walked through in its order.
    at = unindexed(run.c.scheduled_for) if way.sorts else run.c.scheduled_for
    if after is not None:
        scheduled_for, run_id = after
        same = and_(at == scheduled_for, run.c.id < run_id)
        # Both say the same of the time; only the first one is a range of an index.
        listing = listing.where(at <= scheduled_for, or_(at < scheduled_for, same))
    order = func.coalesce(at, at) if way.sorts else at
    return listing.order_by(order.desc(), run.c.id.desc())


def count_runs(connection: Connection, wanted: RunFilter) -> Counted:
    """Return how many runs there are, exactly up to a bound."""
    if wanted.task or not wanted.limit.is_unlimited:
        found: Select[Any] = _RUN.with_only_columns(literal_column("1"))
    else:  # without a look at the task of each: few are deleted and not removed yet
        found = select(literal_column("1")).where(run.c.task_id.not_in(_DELETED))
    if wanted.error_text:
        found = found.where(has_error())
    return count_rows(connection, found.where(*matching_runs(wanted)))


def list_attempts(connection: Connection, of: Run) -> list[Attempt]:
    """Return the attempts of a run, the first one first; the latest is in the row of the run itself.

    One that was postponed is left out, unless the run ended with it: it made no call.
    """
    earlier = connection.execute(
        select(attempt).where(attempt.c.run_id == of.id).order_by(attempt.c.attempt)
    )
    shown = [_to_attempt(row) for row in earlier]
    # A run that ends with it has its error; one that is cancelled while it waits, or later, has none.
    if of.outcome is AttemptOutcome.POSTPONED and of.error is None:
        return shown
    if of.started_at is not None and (not shown or shown[-1].attempt < of.attempt):
        shown.append(_latest(of, of.started_at))
    return shown


def cancel_requested(connection: Connection, holder: Id) -> list[Id]:
    """Return the running runs of a process that are requested to end."""
    requested = select(run.c.id).where(
        run.c.status == RunStatus.RUNNING,
        run.c.holder == holder,
        run.c.cancel_requested_at.is_not(None),
    )
    return list(connection.execute(requested).scalars())


def _to_listed_run(row: Row[Any]) -> Run:
    left_out = tuple(name for name in _LARGE if getattr(row, f"{name}_left_out"))
    return replace(to_run(row), left_out=left_out) if left_out else to_run(row)


def to_run(row: Row[Any]) -> Run:
    """Return the run of a row of `_RUN`."""
    return Run(
        id=row.id,
        task=row.task_name,
        task_id=row.task_id,
        task_generation=row.task_generation,
        trigger=Trigger(row.trigger),
        rerun_of=row.rerun_of,
        backfill_id=row.backfill_id,
        scheduled_for=row.scheduled_for,
        scheduled_until=row.scheduled_until,
        count=row.run_count,
        status=RunStatus(row.status),
        reason=row.reason,
        waiting_on=load_list(row.waiting_on),
        queue=row.queue,
        priority=row.priority,
        not_before=row.not_before,
        input=row.input,
        result=row.result,
        error=load_error(row.error),
        progress=load_progress(row.progress),
        timings=load_timings(row.timings),
        attempt=row.attempt,
        outcome=None if row.outcome is None else AttemptOutcome(row.outcome),
        failures=row.failures,
        cancel_requested_at=row.cancel_requested_at,
        created_at=row.created_at,
        first_started_at=row.first_started_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        traceparent=row.traceparent,
        chain_id=row.chain_id,
        lease_expires_at=None if row.lease_token_hash is None else row.lease_expires_at,
    )


def _to_attempt(row: Any) -> Attempt:
    return Attempt(
        attempt=row.attempt,
        outcome=AttemptOutcome(row.outcome),
        counted=row.counted,
        started_at=row.started_at,
        finished_at=row.finished_at,
        error=load_error(row.error),
    )


def _latest(of: Run, started_at: datetime) -> Attempt:
    return Attempt(
        attempt=of.attempt,
        outcome=of.outcome,
        counted=of.outcome in _COUNTED,
        started_at=started_at,
        finished_at=of.finished_at,
        error=of.error,
        timings=of.timings,
    )
