"""Rows of holds, to and from what they mean."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping

from rota.domain.access.names import UNLIMITED, NameLimit
from rota.domain.holds.model import HeldFireTimes, Hold, HoldSelector
from rota.domain.primitives.json import json_text

#: A row of the table, or what is to be one, by column.
Row = Mapping[str, Any] | RowMapping


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredHold:
    """A hold with who set it and who changed it last. `closed_at`: since when its name is free again."""

    hold: Hold
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str
    closed_at: datetime | None = None

    def has_ended(self, now: datetime) -> bool:
        """Return whether it covers nothing any more from `now` on."""
        return self.hold.ends_at is not None and self.hold.ends_at <= now


def selector_columns(selector: HoldSelector) -> dict[str, str | None]:
    """Return the columns that hold a selector; equal selectors have equal texts."""
    chosen: dict[str, Any] = {}
    if selector.tags:
        chosen["tags"] = sorted(selector.tags)
    if selector.name_prefix:
        chosen["name_prefix"] = selector.name_prefix
    if selector.queues:
        chosen["queues"] = sorted(selector.queues)
    prefixes = selector.limit.prefixes
    return {
        "selector": json_text.dumps(chosen),
        "prefixes": None if prefixes is None else json_text.dumps(sorted(prefixes)),
    }


def to_stored(row: Row) -> StoredHold:
    """Return the hold of a row, with who changed it when."""
    return StoredHold(
        hold=to_hold(row),
        created_at=row["created_at"],
        created_by=row["created_by"],
        updated_at=row["updated_at"],
        updated_by=row["updated_by"],
        closed_at=row["closed_at"],
    )


def to_hold(row: Row) -> Hold:
    """Return the hold of a row."""
    return Hold(
        id=row["id"],
        name=row["name"],
        selector=_selector(row["selector"], row["prefixes"]),
        starts_at=row["starts_at"],
        ends_at=row["ends_at"],
        fire_times=HeldFireTimes(row["fire_times"]),
        reason=row["reason"],
    )


def _selector(selector: str, prefixes: str | None) -> HoldSelector:
    chosen = json_text.loads(selector)
    return HoldSelector(
        tags=frozenset(chosen.get("tags", ())),
        name_prefix=chosen.get("name_prefix", ""),
        queues=frozenset(chosen.get("queues", ())),
        limit=UNLIMITED if prefixes is None else NameLimit(tuple(json_text.loads(prefixes))),
    )
