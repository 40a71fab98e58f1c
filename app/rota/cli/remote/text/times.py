"""Times and durations, as a person writes and reads them."""

import re
from datetime import datetime, timedelta

_SPAN = re.compile(r"(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_UNITS = (604_800, 86_400, 3_600, 60, 1)


def parse_span(text: str) -> timedelta | None:
    """Return a length of time such as `90s`, `24h`, `7d` or `1d12h`; None for what is none."""
    match = _SPAN.fullmatch(text)
    parts = match.groups() if match else ()
    if not any(parts):
        return None
    try:
        return timedelta(
            seconds=sum(int(part) * unit for part, unit in zip(parts, _UNITS, strict=True) if part)
        )
    except OverflowError:
        return None


def parse_instant(text: str, now: datetime) -> datetime:
    """Return when a text means: a length of time before `now`, a time with an offset, or a local time or date.

    A local time is one in the zone of this machine. Raises ValueError.
    """
    span = parse_span(text)
    if span is not None:
        return now - span
    at = datetime.fromisoformat(text)
    return at if at.tzinfo is not None else at.astimezone()


def wire(at: datetime) -> str:
    """Return a time as the API takes it."""
    return at.isoformat(timespec="milliseconds")


def short_duration(seconds: float | None) -> str:
    """Return a duration in its two largest units: `1h20m`, `3.4s`, `35ms`; a dash for none."""
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 60:
        return f"{seconds:.1f}s" if seconds < 10 else f"{seconds:.0f}s"
    whole = round(seconds)
    for unit, size, small, below in (
        ("d", 86_400, "h", 3_600),
        ("h", 3_600, "m", 60),
        ("m", 60, "s", 1),
    ):
        if whole >= size:
            rest = whole % size // below
            return f"{whole // size}{unit}{rest}{small}" if rest else f"{whole // size}{unit}"
    raise AssertionError(seconds)


def relative(text: str | None, now: datetime) -> str:
    """Return how long ago a time of the API was, or in how long it will be: `5m ago`, `in 3h`; a dash for none."""
    if text is None:
        return "-"
    seconds = (now - datetime.fromisoformat(text)).total_seconds()
    if abs(seconds) < 1:
        return "now"
    length = short_duration(float(int(abs(seconds))))
    return f"{length} ago" if seconds > 0 else f"in {length}"


def local(text: str | None) -> str:
    """Return a time of the API in the zone of this machine, to the second; a dash for none."""
    if text is None:
        return "-"
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def local_clock(text: str) -> str:
    """Return the time of day of a time of the API, in the zone of this machine."""
    return datetime.fromisoformat(text).astimezone().strftime("%H:%M:%S.%f")[:-3]
