"""The audit log, as it is read: the newest changes first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from rota.db.tables import audit
from rota.domain.access.names import UNLIMITED, NameLimit
from rota.domain.primitives.ids import Id
from rota.store.task_names import starts_with

#: The place of an entry in the log.
Position = tuple[datetime, Id]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which entries are meant: values of one member are OR-ed, members are AND-ed; empty means any."""

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
    conditions = _conditions(wanted)
    if after is not None:
        at, id = after
        conditions.append(or_(audit.c.at < at, and_(audit.c.at == at, audit.c.id < id)))
        conditions.append(audit.c.at <= at)
    listing = select(audit).where(*conditions).order_by(audit.c.at.desc(), audit.c.id.desc())
    return connection.execute(listing.limit(limit)).all()


def _conditions(wanted: AuditFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [
        column.in_(accepted)
        for column, accepted in (
            (audit.c.task, wanted.task),
            (audit.c.principal, wanted.principal),
            (audit.c.action, wanted.action),
        )
        if accepted
    ]
    if wanted.starts_at is not None:
        conditions.append(audit.c.at >= wanted.starts_at)
    if wanted.ends_at is not None:
        conditions.append(audit.c.at <= wanted.ends_at)
    if wanted.tasks.prefixes is not None:
        ranges = [and_(*starts_with(audit.c.task, prefix)) for prefix in wanted.tasks.prefixes]
        conditions.append(or_(False, *ranges))
    return conditions
