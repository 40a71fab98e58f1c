"""Instants and durations as the API writes them."""

from datetime import datetime, timedelta

from rota.domain.primitives.durations import to_seconds
from rota.domain.primitives.instants import format_instant


def show_instant(instant: datetime | None) -> str | None:
    return None if instant is None else format_instant(instant)


def show_seconds(duration: timedelta | None) -> int | float | None:
    return None if duration is None else to_seconds(duration)
