"""The audit log, as it is read: the newest changes first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, false, or_, select, union_all

from rota.db.tables import audit
from rota.domain.access.names import UNLIMITED, NameLimit
from rota.domain.primitives.ids import Id
from rota.store.task_names import ranges_of

#: The place of an entry in the log.
Position = tuple[datetime, Id]

_NEWEST = (audit.c.at.desc(), audit.c.id.desc())
# Of the newest entries, so many are checked for those of a key's tasks before these are looked up.
_LOOKED_AT = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which entries are meant: values of one field are OR-ed, fields are AND-ed; empty means any."""

    task: Sequence[str] = ()
    principal: Sequence[str] = ()
    action: Sequence[str] = ()
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    #: The tasks whose entries may be seen. With a limit, no others are.
    tasks: NameLimit = UNLIMITED


def list_entries(
    connection: Connection, wanted: AuditFilter, after: Position | None, limit: int
) -> Sequence[Any]:
    """Return up to `limit` rows, newest first, from those behind `after` on."""
    filters, span = _filters(wanted), _span(wanted, after)
    ranges = ranges_of(wanted.tasks, audit.c.task)
    if ranges is None:
        return _newest(connection, select(audit).where(*filters, *span), limit)
    covered = or_(false(), *ranges)
    if wanted.task:  # an index has the entries of these tasks, newest first
        return _newest(connection, select(audit).where(*filters, *span, covered), limit)
    # Entries are in order by their time, or by the name of their task, and by no index by both: the newest ones are
    # looked at first, which are enough for a key that covers many tasks; else those of its tasks are few.
    latest = select(audit.c.id).where(*span).order_by(*_NEWEST).limit(_LOOKED_AT).subquery()
    among = select(audit).join(latest, latest.c.id == audit.c.id).where(*filters, covered)
    found = _newest(connection, among, limit)
    if len(found) == limit or not ranges:
        return found
    return _newest(connection, _of_ranges(ranges, [*filters, *span], limit), limit)


def _of_ranges(
    ranges: Sequence[ColumnElement[bool]], conditions: Sequence[ColumnElement[bool]], limit: int
) -> Select[Any]:
    """Return the newest entries of each range: SQLite looks up ranges in an index only one by one."""
    each = (
        select(audit.c.id).where(one, *conditions).order_by(*_NEWEST).limit(limit).subquery()
        for one in ranges
    )
    of_all = union_all(*(select(found.c.id) for found in each)).subquery()
    return select(audit).join(of_all, of_all.c.id == audit.c.id)


def _newest(connection: Connection, entries: Select[Any], limit: int) -> Sequence[Any]:
    return connection.execute(entries.order_by(*_NEWEST).limit(limit)).all()


def _filters(wanted: AuditFilter) -> list[ColumnElement[bool]]:
    """Return the conditions on the entries themselves, apart from their time and the limit of the key."""
    return [
        column.in_(accepted)
        for column, accepted in (
            (audit.c.task, wanted.task),
            (audit.c.principal, wanted.principal),
            (audit.c.action, wanted.action),
        )
        if accepted
    ]


def _span(wanted: AuditFilter, after: Position | None) -> list[ColumnElement[bool]]:
    """Return the conditions on the time of the entries, and on their place in the log."""
    span: list[ColumnElement[bool]] = []
    if wanted.starts_at is not None:
        span.append(audit.c.at >= wanted.starts_at)
    if wanted.ends_at is not None:
        span.append(audit.c.at <= wanted.ends_at)
    if after is not None:
        at, id = after
        span.append(or_(audit.c.at < at, and_(audit.c.at == at, audit.c.id < id)))
        span.append(audit.c.at <= at)
    return span
