"""Charts of the pages around tasks, as SVG: how full a queue is, what is due by hour, what ended by hour."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from markupsafe import Markup

from rota.domain.primitives.times.instants import parse_instant
from rota.web.formats import duration

_GAUGE: Final = 80
_CELL, _LEFT, _TOP = 20, 90, 18
#: The classes of the cells of the heat map, `heat-0` (nothing) to this.
_DEGREES: Final = 5
_BARS_WIDTH, _BARS_HEIGHT, _AXIS = 480, 90, 16


def gauge(running: int, limit: int | None) -> Markup:
    """Return how many of the runs that may run at once do run, as a bar with its numbers."""
    if limit is None:
        return Markup('<span class="number">{} <small>no limit</small></span>').format(running)
    share = min(running / limit, 1.0)
    kind = "wait" if share >= 1 else "good"
    return Markup(
        '<span class="gauge"><svg width="{0}" height="10" role="img" aria-label="{1} of {2} running{3}">'
        '<rect class="track" width="{0}" height="10"/><rect class="{4}" width="{5}" height="10"/></svg> '
        "{1} of {2}{3}</span>"
    ).format(_GAUGE, running, limit, ", full" if share >= 1 else "", kind, round(share * _GAUGE, 1))


def heat_map(hours: Sequence[Mapping[str, Any]]) -> Markup:
    """Return what is due by day and hour (UTC): the stronger the colour, the more; numbers are titles."""
    days = _by_day(hours)
    most = max((each["runs"] for each in hours), default=0)
    rows = Markup("").join(
        _heat_row(index, day, cells, most) for index, (day, cells) in enumerate(days.items())
    )
    labels = Markup("").join(
        Markup('<text x="{}" y="12">{:02d}</text>').format(_LEFT + hour * _CELL, hour)
        for hour in range(0, 24, 3)
    )
    width, height = _LEFT + 24 * _CELL, _TOP + len(days) * _CELL
    return Markup(
        '<svg class="heat" viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}</svg>'
    ).format(width, height, _heat_summary(hours), labels, rows)


def _by_day(hours: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[int, Mapping[str, Any]]]]:
    days: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}
    for each in hours:
        at = parse_instant(each["at"])
        days.setdefault(at.strftime("%a %d %b"), []).append((at.hour, each))
    return days


def _heat_row(
    index: int, day: str, cells: Sequence[tuple[int, Mapping[str, Any]]], most: int
) -> Markup:
    y = _TOP + index * _CELL
    shown = Markup("").join(
        Markup(
            '<rect class="heat-{}" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>'
        ).format(
            degree(cell["runs"], most),
            _LEFT + hour * _CELL,
            y,
            _CELL - 2,
            _CELL - 2,
            f"{day}, {hour:02d}:00 UTC: {cell['runs']:,} due, which run {duration(cell['seconds'])} in all",
        )
        for hour, cell in cells
    )
    return Markup('<text x="0" y="{}">{}</text>{}').format(y + 13, day, shown)


def degree(runs: int, most: int) -> int:
    """Return how dark a cell is: 0 for nothing, 1 to 5 by its share of the fullest hour."""
    if not runs or not most:
        return 0
    return max(1, min(_DEGREES, -(-runs * _DEGREES // most)))


def _heat_summary(hours: Sequence[Mapping[str, Any]]) -> str:
    fullest = max(hours, key=lambda each: each["runs"], default=None)
    if fullest is None or not fullest["runs"]:
        return "nothing is due"
    return f"due by day and hour; the fullest hour is {fullest['at'][:16]} UTC with {fullest['runs']:,}"


def ended_bars(hours: Sequence[Mapping[str, Any]]) -> Markup:
    """Return how many runs ended in each hour, those that failed on top."""
    totals = [each["succeeded"] + each["failed"] + each["cancelled"] for each in hours]
    most = max(totals, default=0) or 1
    step = _BARS_WIDTH / max(len(hours), 1)
    bars = Markup("").join(
        _ended_bar(each, total, most, index * step, step - 3)
        for index, (each, total) in enumerate(zip(hours, totals, strict=True))
    )
    label = f"runs that ended by hour: {sum(totals):,} in all, {max(totals, default=0):,} at most"
    return _framed(label, bars, hours, step)


def _ended_bar(hour: Mapping[str, Any], total: int, most: int, x: float, width: float) -> Markup:
    failed = hour["failed"] / most * _BARS_HEIGHT
    others = (total - hour["failed"]) / most * _BARS_HEIGHT
    title = (
        f"{hour['at'][11:16]} UTC: {hour['succeeded']:,} succeeded, {hour['failed']:,} failed, "
        f"{hour['cancelled']:,} cancelled"
    )
    return _rect("good", x, _BARS_HEIGHT - others, width, others, title) + _rect(
        "bad", x, _BARS_HEIGHT - others - failed, width, failed, title
    )


def lateness_bars(hours: Sequence[Mapping[str, Any]]) -> Markup:
    """Return how late runs had started by the hour in which they ended: the mean."""
    most = max((each["lateness"] or 0 for each in hours), default=0) or 1
    step = _BARS_WIDTH / max(len(hours), 1)
    bars = Markup("").join(
        _late_bar(each, most, index * step, step - 3) for index, each in enumerate(hours)
    )
    worst = max((each["lateness_max"] or 0 for each in hours), default=0)
    return _framed(f"mean lateness by hour; the longest is {duration(worst)}", bars, hours, step)


def _late_bar(hour: Mapping[str, Any], most: float, x: float, width: float) -> Markup:
    height = (hour["lateness"] or 0) / most * _BARS_HEIGHT
    title = (
        f"{hour['at'][11:16]} UTC: {duration(hour['lateness'])} late on average, "
        f"{duration(hour['lateness_max'])} at most"
    )
    return _rect("busy", x, _BARS_HEIGHT - height, width, height, title)


def _rect(kind: str, x: float, y: float, width: float, height: float, title: str) -> Markup:
    if height <= 0:
        return Markup("")
    return Markup(
        '<rect class="{}" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>'
    ).format(kind, round(x, 1), round(y, 1), round(width, 1), round(height, 1), title)


def _framed(label: str, bars: Markup, hours: Sequence[Mapping[str, Any]], step: float) -> Markup:
    times = Markup("").join(
        Markup('<text x="{}" y="{}">{}</text>').format(
            round(index * step, 1), _BARS_HEIGHT + 13, each["at"][11:16]
        )
        for index, each in enumerate(hours)
        if index % 3 == 0
    )
    return Markup(
        '<svg class="bars" viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}</svg>'
    ).format(_BARS_WIDTH, _BARS_HEIGHT + _AXIS, label, bars, times)


def axis(start: datetime, end: datetime, parts: int = 4) -> Sequence[tuple[float, datetime]]:
    """Return times at even distances, with their share of the whole."""
    return [(index / parts, start + (end - start) * index / parts) for index in range(parts + 1)]
