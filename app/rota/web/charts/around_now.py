"""The timeline of the first page: runs and fire times to come as marks by task, on one axis of time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from markupsafe import Markup

from rota.domain.primitives.times.instants import format_instant
from rota.web.charts.around import axis
from rota.web.charts.strip import Scale, draw_due, draw_runs

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
    scale = Scale(start, end)
    marks = Markup("").join(
        draw_runs(line.runs, index * _ROW, scale) + draw_due(line.due, index * _ROW, scale)
        for index, line in enumerate(lines)
    )
    height = len(lines) * _ROW
    rule = Markup('<line class="now" x1="{0}%" x2="{0}%" y1="0" y2="{1}"/>').format(
        scale.at(now), height
    )
    return Markup(
        '<svg class="strip" width="100%" height="{}" aria-hidden="true">{}{}{}</svg>'
    ).format(height + _AXIS, rule, marks, _labels(start, end, height))


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
