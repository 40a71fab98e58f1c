"""Holds in tests of the store."""

from typing import Any

from rota.domain.access.names import UNLIMITED, NameLimit
from rota.domain.holds.model import HeldFireTimes, HoldSelector
from rota.store.holds.changes import EndHold, SetHold
from rota.store.holds.rows import StoredHold
from tests.support.factories import World


def set_hold(
    world: World,
    name: str = "h",
    *,
    tags: tuple[str, ...] = (),
    name_prefix: str = "",
    queues: tuple[str, ...] = (),
    limit: NameLimit = UNLIMITED,
    **fields: Any,
) -> StoredHold:
    """Set a hold, by default on every task, from now on until it is ended."""
    selector = HoldSelector(
        tags=frozenset(tags), name_prefix=name_prefix, queues=frozenset(queues), limit=limit
    )
    defaults = {"fire_times": HeldFireTimes.SKIP, "by": "me"}
    return world.do(SetHold(name=name, selector=selector, **defaults | fields))[0]


def end_hold(world: World, name: str = "h") -> None:
    """End a hold now."""
    world.do(EndHold(name=name, by="me"))
