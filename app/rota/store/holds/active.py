"""The holds that last at a time."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Exists, bindparam, exists, or_, select

from rota.db.tables import hold
from rota.domain.access.names import NameLimit
from rota.domain.holds.model import HeldFireTimes, Hold, HoldSelector
from rota.domain.primitives import json_text

_NOW = bindparam("g_now", type_=hold.c.starts_at.type)
_LASTS: tuple[ColumnElement[bool], ...] = (
    hold.c.closed_at.is_(None),
    hold.c.starts_at <= _NOW,
    or_(hold.c.ends_at.is_(None), hold.c.ends_at > _NOW),
)
_LASTING = select(hold).where(*_LASTS).order_by(hold.c.name)


def is_any_lasting() -> Exists:
    """Return the condition that some hold lasts at `g_now`."""
    return exists().where(*_LASTS)


def lasting_holds(connection: Connection, now: datetime) -> list[Hold]:
    """Return the holds that last at a time, by name."""
    return [to_hold(row) for row in connection.execute(_LASTING, {"g_now": now})]


def to_hold(row: Any) -> Hold:
    """Return the hold of a row."""
    selector = json_text.loads(row.selector)
    prefixes = None if row.prefixes is None else tuple(json_text.loads(row.prefixes))
    return Hold(
        id=row.id,
        name=row.name,
        selector=HoldSelector(
            tags=frozenset(selector.get("tags", ())),
            name_prefix=selector.get("name_prefix", ""),
            queues=frozenset(selector.get("queues", ())),
            limit=NameLimit(prefixes),
        ),
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        fire_times=HeldFireTimes(row.fire_times),
        reason=row.reason,
    )
