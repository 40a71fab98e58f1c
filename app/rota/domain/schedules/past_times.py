"""Times in the past, which are refused as mistakes."""

from datetime import datetime, timedelta

from rota.domain.primitives.times.instants import format_instant
from rota.domain.schedules.base import Anchor
from rota.domain.schedules.definitions import Planned
from rota.domain.schedules.fire_times import first_fire
from rota.domain.schedules.rules import Once
from rota.errors import Fault, Invalid

# A `once` in the recent past runs at once (clocks differ, networks are slow); further back it is a mistake.
OLDEST_ONCE = timedelta(hours=1)


def check_ahead(at: datetime | None, now: datetime) -> None:
    """Raise Invalid for a next fire time in the past; None is accepted."""
    if at is not None and at < now:
        detail = f"{format_instant(at)} has passed (it is {format_instant(now)}); give a time ahead"
        raise Invalid(
            f"/next_fire_at: {detail}.", Fault("/next_fire_at", detail), slug="time-in-the-past"
        )


def check_not_past(schedule: Planned, now: datetime) -> None:
    """Raise Invalid for a `once` schedule more than OLDEST_ONCE in the past."""
    if not isinstance(schedule, Once) or schedule.at is None:
        return
    at = first_fire(schedule, Anchor(now))
    if at is not None and at < now - OLDEST_ONCE:
        detail = (
            f"{format_instant(at)} is long past (it is {format_instant(now)}); give a time ahead"
        )
        raise Invalid(
            f"/schedule/at: {detail}.", Fault("/schedule/at", detail), slug="time-in-the-past"
        )
