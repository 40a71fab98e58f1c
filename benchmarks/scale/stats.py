"""Statistics: of a task, of the one with the most runs, and of all of them."""

from benchmarks.figures import Line
from benchmarks.scale.data import BUSIEST
from benchmarks.scale.measured import Scale, measured

MOST = 50.0
#: By number as the tasks of `data`: its team is the rest by a hundred.
_USUAL = "team03-0000003"


@measured("stats")
def stats(scale: Scale) -> list[Line]:
    """Return how long the statistics of a month take, and those of a day."""
    usual = max(
        scale.milliseconds(f"/v1/tasks/{_USUAL}/stats?window={window}")
        for window in ("24h", "7d", "30d")
    )
    return [
        scale.line("Statistics of a task", usual, MOST),
        _shown(scale, f"Statistics of a task with {scale.size.runs // 100:,} runs", BUSIEST),
        *(_of_all(scale, window) for window in ("24h", "30d")),
    ]


def _shown(scale: Scale, what: str, name: str) -> Line:
    taken = scale.milliseconds(f"/v1/tasks/{name}/stats?window=30d")
    return Line(what=f"{what}, {scale.database}", rota=f"{taken:.0f} ms")


def _of_all(scale: Scale, window: str) -> Line:
    # The first one alone: if it takes long, the others are answered from memory.
    taken = scale.first(f"/v1/stats?window={window}")
    return Line(
        what=f"Statistics of all runs of {window} of {scale.size.runs:,} in 30 days, {scale.database}",
        rota=f"{taken:.0f} ms",
    )
