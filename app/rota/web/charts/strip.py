"""The marks of one task on an axis of time: runs, and fire times to come; those that would cover each other are one."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

from markupsafe import Markup

from rota.domain.primitives.texts.english import plural
from rota.domain.primitives.times.instants import format_instant, parse_instant
from rota.web.formats import duration, mark, tone

Run = Mapping[str, Any]
T = TypeVar("T")

#: How wide a mark is, in percent of the axis: no two of a kind begin closer together, so that there are at most 51.
MARK: Final = 2.0
#: A part of it stays free, so that neighbours do not touch.
_SEGMENT: Final = MARK * 0.8
#: That of runs at the very beginning of the axis.
_NARROWEST: Final = 0.4
#: What stands for several, the worst first.
_WORST: Final = ("bad", "wait", "busy", "mute", "good")


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis of time."""

    start: datetime
    end: datetime

    def at(self, time: datetime) -> float:
        """Return where a time is, in percent."""
        share = (time - self.start) / (self.end - self.start)
        return round(min(max(share, 0.0), 1.0) * 100, 2)


def draw_runs(runs: Sequence[Run], y: int, scale: Scale) -> Markup:
    """Return the marks of runs of one task: their outcome, and how long they took."""
    # From the right, so that a mark of several ends where the last of them began, and not in the future.
    groups = _together(runs, lambda run: -scale.at(_began(run)))
    return Markup("").join(
        _run(group[0], -x, y, scale) if len(group) == 1 else _segment(group, -x, y, scale)
        for x, group in groups
    )


def draw_due(times: Sequence[str], y: int, scale: Scale) -> Markup:
    """Return the marks of fire times to come."""
    groups = _together(times, lambda at: scale.at(parse_instant(at)))
    return Markup("").join(_due(group, x, y) for x, group in groups)


def _together(items: Sequence[T], at: Callable[[T], float]) -> Iterator[tuple[float, list[T]]]:
    """Yield what is less than a mark away from the first of it, with where that is, in order."""
    group: list[T] = []
    first = 0.0
    for x, item in sorted(((at(each), each) for each in items), key=lambda pair: pair[0]):
        if group and x - first >= MARK:
            yield first, group
            group = []
        if not group:
            first = x
        group.append(item)
    if group:
        yield first, group


def _run(run: Run, x: float, y: int, scale: Scale) -> Markup:
    kind = tone(run["status"])
    title = f"{run['task']}: {run['status']} at {run['scheduled_for']}, {duration(run['duration'])}"
    shape = Markup('<text class="{}" x="{}%" y="{}" text-anchor="middle">{}</text>').format(
        kind, x, y + 16, mark(run["status"])
    )
    return _linked(f"/ui/runs/{run['id']}", title, _took([run], kind, x, y, scale) + shape)


def _segment(runs: Sequence[Run], x: float, y: int, scale: Scale) -> Markup:
    """Return one mark for several runs, in the colour of the worst; also higher if one failed."""
    counts = Counter(run["status"] for run in runs)
    kind = min(map(tone, counts), key=_WORST.index)
    ordered = sorted(counts, key=lambda status: _WORST.index(tone(status)))
    outcomes = ", ".join(f"{counts[each]} {each}" for each in ordered)
    due = sorted(run["scheduled_for"] for run in runs)
    title = f"{runs[0]['task']}: {plural(len(runs), 'run')} from {due[0]} to {due[-1]}: {outcomes}"
    height = 16 if kind == "bad" else 10
    left = round(max(x - _SEGMENT, 0), 2)
    width = round(max(x - left, _NARROWEST), 2)
    shape = _rect(f"{kind} several", left, y + 11 - height // 2, width, height)
    until = format_instant(parse_instant(due[-1]) + timedelta(seconds=1))
    query = {"task": runs[0]["task"], "scheduled_from": due[0], "scheduled_to": until}
    took = _took(runs, kind, scale.at(min(map(_began, runs))), y, scale)
    return _linked(f"/ui/runs?{urlencode(query)}", title, took + shape)


def _took(runs: Sequence[Run], kind: str, x: float, y: int, scale: Scale) -> Markup:
    ends = (scale.at(_began(run) + timedelta(seconds=run["duration"] or 0)) for run in runs)
    return _rect(f"{kind} took", x, y + 8, round(max(ends) - x, 2), 6)


def _due(times: Sequence[str], x: float, y: int) -> Markup:
    if len(times) == 1:
        return Markup(
            '<circle class="due" cx="{}%" cy="{}" r="4"><title>due {}</title></circle>'
        ).format(x, y + 11, times[0])
    title = f"{len(times):,} due from {min(times)} to {max(times)}"
    return _rect("due", x, y + 7, _SEGMENT, 8, title)


def _rect(kind: str, x: float, y: int, width: float, height: int, title: str = "") -> Markup:
    about = Markup("<title>{}</title>").format(title) if title else Markup("")
    return Markup(
        '<rect class="{}" x="{}%" y="{}" width="{}%" height="{}" rx="2">{}</rect>'
    ).format(kind, x, y, width, height, about)


def _linked(url: str, title: str, shapes: Markup) -> Markup:
    return Markup('<a href="{}" tabindex="-1"><title>{}</title>{}</a>').format(url, title, shapes)


def _began(run: Run) -> datetime:
    return parse_instant(run["started_at"] or run["scheduled_for"])
