"""Lengths of time on a screen that is redrawn each second: whole seconds, and minutes and more as elsewhere."""

from datetime import datetime
from typing import Final

from rota.cli.remote.text.times import short_duration

#: Seconds from which on what is due is late to a reader, and not just about to start.
LATE: Final = 10.0


def seconds_since(at: str, now: datetime) -> float:
    """Return the seconds since a time of the API; negative for one that is to come."""
    return (now - datetime.fromisoformat(at)).total_seconds()


def span(seconds: float) -> str:
    """Return a length of time: `0s`, `59s`, `1m30s`."""
    whole = int(abs(seconds))
    return f"{whole}s" if whole < 60 else short_duration(float(whole))


def ago(at: str | None, now: datetime) -> str | None:
    """Return how long ago a time of the API was, or in how long it will be; None for none."""
    if at is None:
        return None
    seconds = seconds_since(at, now)
    return f"{span(seconds)} ago" if seconds >= 0 else f"in {span(seconds)}"
