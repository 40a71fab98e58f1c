"""How pages write times, durations, JSON and statuses."""

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from markupsafe import Markup, escape

from rota.domain.primitives.json import json_text
from rota.domain.primitives.texts import english
from rota.domain.primitives.times.instants import parse_instant

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_MOST_SHOWN = 400

#: The class of CSS by status; the mark beside it is for those who do not see colours.
_TONES: Final = {
    "succeeded": "good",
    "completed": "good",
    "active": "good",
    "failed": "bad",
    "running": "busy",
    "queued": "wait",
    "blocked": "wait",
    "paused": "wait",
    "skipped": "mute",
    "cancelled": "mute",
}
_MARKS: Final = {"good": "✓", "bad": "✕", "busy": "●", "wait": "◷", "mute": "—"}


def tone(status: str) -> str:
    """Return the class of a status."""
    return _TONES.get(status, "mute")


def mark(status: str) -> str:
    """Return the shape that goes with the colour of a status."""
    return _MARKS[tone(status)]


def instant(text: str | None) -> Markup:
    """Return a time as an element with the exact UTC time, which the script writes in the zone of the viewer."""
    if text is None:
        return Markup('<span class="none">—</span>')
    at = parse_instant(text)
    # Where it has to be on two lines, it breaks between the date and the time.
    shown = at.strftime("%Y-%m-%d %H:%M:%S\u00a0UTC")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(text, text, shown)


#: The zone of the times below a heading, which the script replaces by that of the viewer.
IN_ZONE: Final = Markup("<small data-zone>UTC</small>")


def ago(text: str | None, now: datetime) -> Markup:
    """Return how long ago a time was, or in how long it will be, with the exact time as its title."""
    if text is None:
        return Markup('<span class="none">—</span>')
    seconds = (now - parse_instant(text)).total_seconds()
    shown = f"{duration(abs(seconds))} ago" if seconds >= 0 else f"in {duration(-seconds)}"
    return Markup('<time datetime="{}" title="{}" data-relative>{}</time>').format(
        text, text, shown
    )


def duration(seconds: float | timedelta | None) -> str:
    """Return a duration in its two largest units, such as `1 h 20 min` or `35 ms`."""
    if seconds is None:
        return "—"
    if isinstance(seconds, timedelta):
        seconds = seconds.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    whole = round(seconds)
    for unit, size, small, below in (("d", _DAY, "h", _HOUR), ("h", _HOUR, "min", _MINUTE)):
        if whole >= size:
            rest = whole % size // below
            return f"{whole // size} {unit} {rest} {small}" if rest else f"{whole // size} {unit}"
    rest = whole % _MINUTE
    return f"{whole // _MINUTE} min {rest} s" if rest else f"{whole // _MINUTE} min"


def pretty_json(value: Any) -> str:
    """Return JSON with indentation, its numbers exactly as they are stored."""
    return json.dumps(value, ensure_ascii=False, indent=2)


def short(value: Any, most: int = _MOST_SHOWN) -> str:
    """Return the beginning of a text or of some JSON."""
    text = value if isinstance(value, str) else json_text.dumps(value)
    return text if len(text) <= most else f"{text[:most]}…"


def prose(text: str) -> Markup:
    """Return a text with what stands in backticks as code."""
    return Markup("").join(_parts(" ".join(text.split())))


def _parts(text: str) -> Iterator[Markup]:
    for index, part in enumerate(re.split(r"`([^`]*)`", text)):
        yield Markup("<code>{}</code>").format(part) if index % 2 else escape(part)


def plural(count: int, noun: str) -> str:
    """Return a number with its noun: `1 run`, `1,284 runs`."""
    return english.plural(count, noun)
