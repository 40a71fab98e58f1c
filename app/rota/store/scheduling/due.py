"""Due tasks: those whose next fire time has come, read in bounded batches."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, Integer, bindparam, not_, select

from rota.db.tables import run, task
from rota.db.types import is_one_of, spelled_out
from rota.domain.holds.held import HoldsVersion
from rota.domain.policies import CatchUp
from rota.domain.primitives.ids import Id, to_id
from rota.domain.reasons import SkipReason
from rota.domain.runs.plan import DueTask, Gap, OpenSpan
from rota.domain.runs.status import RunStatus
from rota.domain.schedules.calendar_use import uses_calendars
from rota.domain.tasks.definition import TaskStatus
from rota.store.calendars.opening import opened
from rota.store.calendars.present import REVISION, PresentCalendars
from rota.store.definitions import read_definition
from rota.store.holds.reading import VERSION, holds_at
from rota.store.runs.claiming.claim import earliest_delayed

_DUE = (
    task.c.status == spelled_out(TaskStatus.ACTIVE),
    task.c.next_fire_at.is_not(None),
    task.c.deferred_until.is_(None),
)


class _DueRow(NamedTuple):
    """A task as it is read; a field of a row of SQLAlchemy's takes ten times as long to read."""

    id: Id
    name: str
    generation: int
    definition: str
    input: str
    anchored_at: datetime
    next_fire_at: datetime
    fired: int
    overrides_at: datetime | None
    moved_to_at: datetime | None
    gap_run_id: Id | None
    gap_until: datetime | None
    gap_catch_up: CatchUp | None
    traceparent: str | None
    status_changed_by: str
    holds_number: int
    holds_changed_at: datetime | None
    calendars: Id

    @property
    def holds_version(self) -> HoldsVersion:
        return HoldsVersion(self.holds_number, self.holds_changed_at)


_DUE_NOW = (
    select(*(task.c[name] for name in _DueRow._fields[:-3]), *VERSION, REVISION.label("calendars"))
    .where(*_DUE, task.c.next_fire_at <= bindparam("g_now", type_=task.c.next_fire_at.type))
    .limit(bindparam("g_limit", type_=Integer))
)
_OTHERS = not_(is_one_of(task.c.id, "g_without"))
_OLDEST_DUE = _DUE_NOW.order_by(task.c.next_fire_at)
_NEWEST_DUE = _DUE_NOW.order_by(task.c.next_fire_at.desc())
_EARLIEST_DUE = select(task.c.next_fire_at).where(*_DUE).order_by(task.c.next_fire_at).limit(1)


def due_tasks(
    connection: Connection,
    now: datetime,
    limit: int,
    *,
    newest_first: bool = False,
    without: Collection[Id] = (),
) -> list[DueTask]:
    """Return up to `limit` active tasks whose next fire time has come, the earliest (or the latest) first.

    They have the holds that select them. Those that are deferred by one are left out.
    """
    wanted, given = _NEWEST_DUE if newest_first else _OLDEST_DUE, {"g_now": now, "g_limit": limit}
    if without:
        wanted, given = wanted.where(_OTHERS), given | {"g_without": list(without)}
    found = connection.execute(wanted, given)
    rows = [_DueRow._make(row) for row in found]
    spans = _open_spans(connection, [row.gap_run_id for row in rows if row.gap_run_id])
    due = [_to_due(connection, row, spans) for row in rows]
    if not rows:
        return due
    holds = holds_at(connection, rows[0].holds_version)
    mattering = holds.between(min(row.next_fire_at for row in rows), now)
    return [each.under(mattering) for each in due] if mattering else due


def earliest_due(connection: Connection, without: Collection[Id] = ()) -> datetime | None:
    """Return when something is due next: a fire time (but of some tasks), or a run that waits for its time."""
    wanted = _EARLIEST_DUE.where(_OTHERS) if without else _EARLIEST_DUE
    given = {"g_without": list(without)} if without else {}
    fire = connection.execute(wanted, given).scalar_one_or_none()
    return min((at for at in (fire, earliest_delayed(connection)) if at is not None), default=None)


def _open_spans(connection: Connection, ids: Sequence[Id]) -> dict[Id, OpenSpan]:
    if not ids:
        return {}
    found = select(run.c.id, run.c.reason).where(
        run.c.id.in_(ids), run.c.status == RunStatus.SKIPPED
    )
    return {
        row.id: OpenSpan(run_id=row.id, reason=SkipReason(row.reason))
        for row in connection.execute(found)
    }


def _to_due(connection: Connection, row: _DueRow, spans: Mapping[Id, OpenSpan]) -> DueTask:
    gap, definition, calendars = None, read_definition(row.definition), None
    if uses_calendars(definition.schedule):
        definition = opened(definition, PresentCalendars(connection, row.calendars))
        calendars = row.calendars
    if row.gap_until and row.gap_catch_up:
        gap = Gap(until=row.gap_until, catch_up=row.gap_catch_up)
    return DueTask(
        id=row.id,
        name=row.name,
        generation=row.generation,
        definition=definition,
        input=row.input,
        anchored_at=row.anchored_at,
        next_fire_at=row.next_fire_at,
        fired=row.fired,
        overrides_at=row.overrides_at,
        moved_to_at=row.moved_to_at,
        gap=gap,
        open_span=None if row.gap_run_id is None else spans.get(row.gap_run_id),
        holds_version=row.holds_version,
        traceparent=row.traceparent,
        calendars=calendars,
        registered_by=_registering_run(row),
    )


def _registering_run(row: _DueRow) -> Id | None:
    """Return the run that registered a task which has not fired since."""
    kind, _, id = row.status_changed_by.partition(":")
    if row.fired or kind != "run":
        return None
    try:
        return to_id(id)
    except ValueError:  # changed by hand
        return None
