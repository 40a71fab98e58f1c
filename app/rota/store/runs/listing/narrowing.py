"""How a list of runs is found: the newest first until a page is full, or few that are found by an index and sorted.

A planner that knows nothing of the values takes the wrong one of the two: among a million runs the first is slow for
what is rare, the second for what is frequent. So the runs that one of the conditions leaves are read first, up to a
bound, from an index alone.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, and_, func, select, union_all

from rota.db.planning import unindexed
from rota.db.tables import run, task, task_tag
from rota.db.types import is_one_of, spelled_out
from rota.domain.runs.status import RunStatus
from rota.store.runs.listing.filters import (
    UNFINISHED,
    RunFilter,
    error_contains,
    has_error,
    matching_runs,
    within,
)
from rota.store.task_names import covers

#: Up to how many runs are few. Of more there is one among each five hundred of a million.
FEW = 2_000
# The unfinished statuses that have one index; queued runs have two, by whether they wait for a time.
_IN_ONE = (RunStatus.RUNNING, RunStatus.BLOCKED)


class Way(NamedTuple):
    """A listing with its conditions; `sorts`: what it finds is sorted, and not walked through in its order."""

    listing: Select[Any]
    sorts: bool


def ways(connection: Connection, listing: Select[Any], wanted: RunFilter) -> list[Way]:
    """Return how to list runs and their tasks; of two ways the second one has the runs with older fire times."""
    listing = listing.where(*matching_runs(wanted, walks=True))
    for ids in _narrowing(wanted):
        found = connection.execute(ids.limit(FEW + 1)).scalars().all()
        if len(found) <= FEW:
            few = is_one_of(run.c.id, "g_few").params(g_few=found)
            return [Way(listing.where(few), True)]
    before = _earliest_excluded(connection, wanted)
    if before is not None:
        listing = listing.where(before)
    if wanted.finished_from is None:
        return [Way(listing, False)]
    return _by_fire_time(listing, wanted.finished_from, wanted)


def _by_fire_time(listing: Select[Any], first: datetime, wanted: RunFilter) -> list[Way]:
    """Return two ways: most runs that ended from a time on were for a later one; the few others are sorted.

    Otherwise the last page would walk through all older runs.
    """
    ended = within(run.c.finished_at, wanted.finished_from, wanted.finished_to)
    late = listing.where(unindexed(run.c.scheduled_for) < first, *ended)
    return [Way(listing.where(run.c.scheduled_for >= first), False), Way(late, True)]


def _narrowing(wanted: RunFilter) -> Iterator[Select[Any]]:
    """Yield the ids of runs that meet one of the conditions, which an index finds; some may be there twice."""
    ids = select(run.c.id)
    for tags in ([tag] for tag in wanted.all_tags):
        yield _tagged(tags)
    if wanted.tag:
        yield _tagged(wanted.tag)
    if wanted.status and set(wanted.status) <= UNFINISHED:
        yield _unfinished(wanted.status)
    if wanted.error_text:
        yield ids.where(has_error(), error_contains(wanted.error_text))
    ended = list(within(run.c.finished_at, wanted.finished_from, wanted.finished_to))
    if ended:
        yield ids.where(run.c.finished_at.is_not(None), *ended)
    if not wanted.limit.is_unlimited:
        visible = and_(covers(wanted.limit, task.c.name), task.c.deleted_at.is_(None))
        yield ids.join(task, task.c.id == run.c.task_id).where(visible)


def _unfinished(statuses: Sequence[str]) -> Select[Any]:
    """Return the ids of runs with these statuses, each from its index: of the others there may be very many."""
    ids = select(run.c.id)
    found = [ids.where(run.c.status == spelled_out(each)) for each in _IN_ONE if each in statuses]
    if RunStatus.QUEUED in statuses:
        queued = ids.where(run.c.status == spelled_out(RunStatus.QUEUED))
        found += [queued.where(run.c.not_before.is_(None))]
        found += [queued.where(run.c.not_before.is_not(None))]
    return select(union_all(*found).subquery().c.id)


def _tagged(tags: Sequence[str]) -> Select[Any]:
    return (
        select(run.c.id)
        .join(task_tag, task_tag.c.task_id == run.c.task_id)
        .where(task_tag.c.tag.in_(tags))
    )


def _earliest_excluded(connection: Connection, wanted: RunFilter) -> ColumnElement[bool] | None:
    """Return what follows from `finished_to` for `scheduled_for`, so that no later runs are walked through.

    A run ends after its fire time, unless it was cancelled while that was still to come: if there is one of these,
    nothing follows.
    """
    if wanted.finished_to is None:
        return None
    # All are counted: for the first one PostgreSQL, which takes a third of all runs for early, would read the table.
    early = select(func.count()).where(
        run.c.scheduled_for > run.c.finished_at, run.c.finished_at <= wanted.finished_to
    )
    if connection.execute(early).scalar_one():
        return None
    return run.c.scheduled_for <= wanted.finished_to
