"""The latest runs of a task as bars: the height is the duration, colour and mark below are the outcome."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from markupsafe import Markup

from rota.web.formats import duration, mark, tone

_WIDTH: Final = 16
_BARS: Final = 90
_MARKS: Final = 20
_LOWEST: Final = 3

Run = Mapping[str, Any]


def timeline(runs: Sequence[Run]) -> Markup:
    """Return the runs as bars that link to them, the oldest first."""
    shown = list(reversed(runs))
    longest = max((each["duration"] or 0 for each in shown), default=0) or 1
    bars = Markup("").join(_bar(index, each, longest) for index, each in enumerate(shown))
    width, height = max(len(shown), 1) * _WIDTH, _BARS + _MARKS
    return Markup(
        '<svg class="runs-timeline" viewBox="0 0 {} {}" width="{}" height="{}" role="group" '
        'aria-label="The latest runs: the height of a bar is the duration">{}</svg>'
    ).format(width, height, width, height, bars)


def _bar(index: int, run: Run, longest: float) -> Markup:
    height = _LOWEST + round((_BARS - _LOWEST) * min((run["duration"] or 0) / longest, 1), 1)
    label = f"{run['status']}, {run['scheduled_for']}, {duration(run['duration'])}"
    left = index * _WIDTH
    return Markup(
        '<a href="/ui/runs/{}" aria-label="{}"><title>{}</title>'
        '<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>'
        '<text class="{}" x="{}" y="{}" text-anchor="middle">{}</text></a>'
    ).format(
        *(run["id"], label, label, tone(run["status"])),
        *(left + 2, round(_BARS - height, 1), _WIDTH - 4, height),
        *(tone(run["status"]), left + _WIDTH / 2, _BARS + _MARKS - 5, mark(run["status"])),
    )
