"""The timeline of the first page: runs and fire times to come as marks by task, on one axis of time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from markupsafe import Markup

from rota.domain.primitives.instants import format_instant, parse_instant
from rota.web.charts.around import axis
from rota.web.formats import duration, mark, tone

_ROW, _AXIS = 22, 20
_MOST_ROWS: Final = 12


@dataclass(slots=True)
class Line:
    """A task: its runs, the newest first, and its fire times to come."""

    name: str
    runs: list[Mapping[str, Any]] = field(default_factory=list)
    due: list[str] = field(default_factory=list)

    @property
    def counts(self) -> Mapping[str, int]:
        """How many runs there are by status."""
        counts: dict[str, int] = {}
        for run in self.runs:
            counts[run["status"]] = counts.get(run["status"], 0) + 1
        return counts

    @property
    def rank(self) -> tuple[int, int, str]:
        """Tasks with a failed run come first, then those with runs that wait, then the busiest."""
        statuses = self.counts.keys()
        health = 0 if "failed" in statuses else 1 if statuses & {"blocked", "queued"} else 2
        return health, -len(self.runs) - len(self.due), self.name


def lines_of(
    runs: Sequence[Mapping[str, Any]], coming: Sequence[Mapping[str, Any]]
) -> tuple[Sequence[Line], int]:
    """Return the lines that are shown, in their order, and how many tasks there are beyond."""
    lines: dict[str, Line] = {}
    for run in runs:
        lines.setdefault(run["task"], Line(run["task"])).runs.append(run)
    for each in coming:
        if each["held"]:
            continue
        lines.setdefault(each["task"], Line(each["task"])).due.append(each["at"])
    ranked = sorted(lines.values(), key=lambda line: line.rank)
    return ranked[:_MOST_ROWS], max(len(ranked) - _MOST_ROWS, 0)


def timeline(lines: Sequence[Line], start: datetime, now: datetime, end: datetime) -> Markup:
    """Return the marks; a table says the same to those who do not see them."""
    scale = _Scale(start, end)
    marks = Markup("").join(_line(index, line, scale) for index, line in enumerate(lines))
    height = len(lines) * _ROW
    rule = Markup('<line class="now" x1="{0}%" x2="{0}%" y1="0" y2="{1}"/>').format(
        scale.at(now), height
    )
    return Markup(
        '<svg class="strip" width="100%" height="{}" aria-hidden="true">{}{}{}</svg>'
    ).format(height + _AXIS, rule, marks, _labels(start, end, height))


@dataclass(frozen=True, slots=True)
class _Scale:
    start: datetime
    end: datetime

    def at(self, time: datetime) -> float:
        """Return where a time is, in percent."""
        share = (time - self.start) / (self.end - self.start)
        return round(min(max(share, 0.0), 1.0) * 100, 2)

    def width(self, seconds: float) -> float:
        """Return how wide a duration is, in percent."""
        return round(min(seconds / (self.end - self.start).total_seconds(), 1.0) * 100, 2)


def _line(index: int, line: Line, scale: _Scale) -> Markup:
    y = index * _ROW
    ended = (_run(run, y, scale) for run in reversed(line.runs))
    due = (_due(at, y, scale) for at in line.due)
    return Markup("").join([*ended, *due])


def _run(run: Mapping[str, Any], y: int, scale: _Scale) -> Markup:
    x = scale.at(parse_instant(run["started_at"] or run["scheduled_for"]))
    kind = tone(run["status"])
    title = f"{run['task']}: {run['status']} at {run['scheduled_for']}, {duration(run['duration'])}"
    return Markup(
        '<a href="/ui/runs/{id}" tabindex="-1"><rect class="{kind} took" x="{x}%" y="{top}" width="{width}%" '
        'height="6"/><text class="{kind}" x="{x}%" y="{base}" text-anchor="middle">{mark}'
        "<title>{title}</title></text></a>"
    ).format(
        id=run["id"],
        kind=kind,
        x=x,
        top=y + 8,
        width=scale.width(run["duration"] or 0),
        base=y + 16,
        mark=mark(run["status"]),
        title=title,
    )


def _due(at: str, y: int, scale: _Scale) -> Markup:
    return Markup(
        '<circle class="due" cx="{}%" cy="{}" r="4"><title>due {}</title></circle>'
    ).format(scale.at(parse_instant(at)), y + 11, at)


def _labels(start: datetime, end: datetime, height: int) -> Markup:
    times = axis(start, end)
    last = len(times) - 1
    return Markup("").join(
        Markup(
            '<text class="axis" x="{}%" y="{}" text-anchor="{}" data-at="{}">{} UTC</text>'
        ).format(
            round(share * 100, 1),
            height + 15,
            "start" if index == 0 else "end" if index == last else "middle",
            format_instant(at),
            at.strftime("%H:%M"),
        )
        for index, (share, at) in enumerate(times)
    )
