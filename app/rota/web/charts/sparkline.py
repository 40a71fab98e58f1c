"""Small charts as SVG, without styles and scripts: colours come from classes, and each mark has a title."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

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
