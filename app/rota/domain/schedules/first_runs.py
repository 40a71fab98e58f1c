"""The first fire times of a schedule that is registered, for previews. Pure."""

from datetime import datetime

from rota.domain.fire_time import TICK
from rota.domain.schedules.base import Anchor
from rota.domain.schedules.definitions import Planned
from rota.domain.schedules.fire_times import (
    after_finish,
    fires_after_finish,
    first_fire,
    is_left_out,
)
from rota.domain.schedules.running_times import upcoming


def first_runs(schedule: Planned, anchor: Anchor, number: int) -> list[datetime]:
    """Return up to `number` first fire times (UTC) of a schedule registered as the anchor says. Raises Unplannable."""
    first = first_fire(schedule, anchor)
    if first is None:
        return []
    if fires_after_finish(schedule):
        return first_delayed(schedule, anchor, first)[:number]
    return upcoming(schedule, anchor, first - TICK, number, schedule.max_runs)


def first_delayed(schedule: Planned, anchor: Anchor, first: datetime) -> list[datetime]:
    """Return the fire time itself, or that which follows if the rule leaves it out."""
    at = after_finish(schedule, anchor, first) if is_left_out(schedule, anchor, first) else first
    return [] if at is None else [at]
