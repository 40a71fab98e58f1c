"""Small charts as SVG, without styles and scripts: colours come from classes, and each mark has a title."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from markupsafe import Markup

from rota.domain.primitives.instants import parse_instant
from rota.web.formats import duration, tone

_BAR, _GAP = 4, 1
_HEIGHT = 20
_LOWEST = 3


def sparkline(runs: Sequence[Mapping[str, Any]], most: int = 30) -> Markup:
    """Return the latest runs of a task as bars, the oldest first: their height is the duration."""
    shown = list(reversed(runs[:most]))
    longest = max((run["duration"] or 0 for run in shown), default=0) or 1
    bars = Markup("").join(
        _bar(index, run, (run["duration"] or 0) / longest) for index, run in enumerate(shown)
    )
    width = most * (_BAR + _GAP)
    label = _summary(shown)
    return Markup(
        '<svg class="spark" viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}">{}</svg>'
    ).format(width, _HEIGHT, width, _HEIGHT, label, bars)


def _bar(index: int, run: Mapping[str, Any], share: float) -> Markup:
    height = _LOWEST + round((_HEIGHT - _LOWEST) * share, 1)
    title = f"{run['status']} {run['scheduled_for']}, {duration(run['duration'])}"
    return Markup(
        '<rect class="{}" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>'
    ).format(tone(run["status"]), index * (_BAR + _GAP), _HEIGHT - height, _BAR, height, title)


def _summary(runs: Iterable[Mapping[str, Any]]) -> str:
    counts: dict[str, int] = {}
    for run in runs:
        counts[run["status"]] = counts.get(run["status"], 0) + 1
    if not counts:
        return "no runs yet"
    return "last runs: " + ", ".join(f"{count} {status}" for status, count in counts.items())


_STRIP_WIDTH, _ROW = 1_000, 22


def strip(
    rows: Mapping[str, Sequence[Mapping[str, Any]]],
    upcoming: Mapping[str, Sequence[str]],
    start: datetime,
    now: datetime,
    end: datetime,
) -> Markup:
    """Return runs and fire times to come as marks by task, on one axis of time with a line for now."""
    names = list(dict.fromkeys([*rows, *upcoming]))
    marks = [
        _strip_mark(index, run, _at(run["started_at"] or run["scheduled_for"], start, end))
        for index, name in enumerate(names)
        for run in rows.get(name, ())
    ]
    marks += [
        _future_mark(index, time, _at(time, start, end))
        for index, name in enumerate(names)
        for time in upcoming.get(name, ())
    ]
    height = max(len(names), 1) * _ROW
    line = Markup('<line class="now" x1="{0}" x2="{0}" y1="0" y2="{1}"/>').format(
        round(_share(now, start, end) * _STRIP_WIDTH, 1), height
    )
    return Markup(
        '<svg class="strip" viewBox="0 0 {} {}" preserveAspectRatio="none" role="group" '
        'aria-label="runs of the last hour and fire times of the next">{}{}</svg>'
    ).format(_STRIP_WIDTH, height, Markup("").join(marks), line)


def _at(time: str, start: datetime, end: datetime) -> float:
    return round(_share(parse_instant(time), start, end) * _STRIP_WIDTH, 1)


def _share(at: datetime, start: datetime, end: datetime) -> float:
    return min(max((at - start) / (end - start), 0.0), 1.0)


def _strip_mark(row: int, run: Mapping[str, Any], x: float) -> Markup:
    width = max((run["duration"] or 0) / 7_200 * _STRIP_WIDTH, 4)
    title = f"{run['task']}: {run['status']} at {run['scheduled_for']}"
    return Markup(
        '<a href="/ui/runs/{}"><rect class="{}" x="{}" y="{}" width="{}" height="14"><title>{}</title></rect></a>'
    ).format(run["id"], tone(run["status"]), x, row * _ROW + 4, round(width, 1), title)


def _future_mark(row: int, time: str, x: float) -> Markup:
    return Markup(
        '<rect class="due" x="{}" y="{}" width="3" height="14"><title>due {}</title></rect>'
    ).format(x, row * _ROW + 4, time)
