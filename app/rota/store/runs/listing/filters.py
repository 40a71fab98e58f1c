"""Which runs are meant, as conditions of statements."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, text

from rota.db.planning import implied, unindexed
from rota.db.schema.base import one_of
from rota.db.tables import run, task
from rota.db.types import spelled_out
from rota.domain.access.names import UNLIMITED, NameLimit
from rota.domain.primitives.ids import Id
from rota.domain.runs.status import FINAL, RunStatus, Trigger
from rota.store.json_columns import ESCAPE, filed_type, in_message
from rota.store.task_names import covers, has_tags

UNSUCCESSFUL = frozenset(FINAL - {RunStatus.SUCCEEDED})
UNFINISHED = frozenset(RunStatus) - FINAL
_UNSUCCESSFUL = one_of("status", UNSUCCESSFUL)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs are meant: values of one field are OR-ed, fields are AND-ed; empty means any."""

    task: Sequence[str] = ()
    tag: Sequence[str] = ()
    #: Unlike the others: its task has all of them.
    all_tags: Sequence[str] = ()
    status: Sequence[str] = ()
    reason: Sequence[str] = ()
    #: Types of errors.
    error: Sequence[str] = ()
    #: What their errors contain, in upper or lower case.
    error_text: str | None = None
    trigger: Sequence[str] = ()
    backfill_id: Sequence[Id] = ()
    chain_id: Sequence[Id] = ()
    scheduled_from: datetime | None = None
    scheduled_to: datetime | None = None
    #: A run that has not ended is in no such span.
    finished_from: datetime | None = None
    finished_to: datetime | None = None
    #: The tasks that the client may see.
    limit: NameLimit = UNLIMITED


def matching_runs(wanted: RunFilter, *, walks: bool = False) -> list[ColumnElement[bool]]:
    """Return the conditions that a run meets; the statement joins its task, which is not deleted.

    `walks`: these are conditions of many runs, and others are the way to find them, or their order is.
    """
    conditions: list[ColumnElement[bool]] = [
        column.in_(accepted)
        for column, accepted in (
            (task.c.name, wanted.task),
            (run.c.reason, wanted.reason),
            (run.c.error_type, [filed_type(each) for each in wanted.error]),
            (run.c.backfill_id, wanted.backfill_id),
        )
        if accepted
    ]
    if wanted.error_text:
        conditions.append(error_contains(wanted.error_text))
    conditions.extend(_has_status(wanted.status))
    conditions.extend(_has_trigger(wanted.trigger))
    if wanted.chain_id:
        first = and_(run.c.id.in_(wanted.chain_id), run.c.chain_id.is_(None))
        conditions.append(or_(run.c.chain_id.in_(wanted.chain_id), first))
    if not wanted.limit.is_unlimited:
        conditions.append(covers(wanted.limit, unindexed(task.c.name) if walks else task.c.name))
    conditions.extend(has_tags(run.c.task_id, wanted.tag, wanted.all_tags, of_many=walks))
    conditions.extend(within(run.c.scheduled_for, wanted.scheduled_from, wanted.scheduled_to))
    finished_at: ColumnElement[Any] = run.c.finished_at
    if (
        walks
    ):  # an expression: runs end in the order of their fire times, which PostgreSQL does not know
        finished_at = func.coalesce(finished_at, finished_at)
    conditions.extend(within(finished_at, wanted.finished_from, wanted.finished_to))
    return conditions


def has_error() -> ColumnElement[bool]:
    """Return the condition that a run has an error, by which an index finds these runs: few have one."""
    return run.c.error_type >= ""


def error_contains(wanted: str) -> ColumnElement[bool]:
    """Return the condition that the message of a run's error contains a text; A to Z may be upper or lower case."""
    return run.c.error.ilike(in_message(wanted), escape=ESCAPE)


# Constants are part of the SQL, and conditions that follow from them are spelled out: only then does a planner see that
# a partial index has all of the rows.
def _has_status(accepted: Collection[str]) -> Iterator[ColumnElement[bool]]:
    if not accepted:
        return
    statuses = {RunStatus(each) for each in accepted}
    yield run.c.status.in_([spelled_out(each) for each in sorted(statuses)])
    if statuses <= UNSUCCESSFUL:
        yield implied(text(f"run.{_UNSUCCESSFUL}"))
    elif statuses <= UNFINISHED:
        yield implied(run.c.finished_at.is_(None))


def _has_trigger(accepted: Collection[str]) -> Iterator[ColumnElement[bool]]:
    if not accepted:
        return
    triggers = {Trigger(each) for each in accepted}
    yield run.c.trigger.in_([spelled_out(each) for each in sorted(triggers)])
    if Trigger.SCHEDULE not in triggers:
        yield implied(text("run.trigger <> 'schedule'"))


def within(
    column: ColumnElement[Any], first: datetime | None, last: datetime | None
) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions that a time is in a span, with both of its bounds; None is no bound."""
    if first is not None:
        yield column >= first
    if last is not None:
        yield column <= last
