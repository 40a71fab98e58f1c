"""Loads of 32 clients that keep their connections, and what came of them."""

from collections.abc import Sequence

from benchmarks.figures import median, per_second
from benchmarks.load import Answered
from benchmarks.processes import measured

CLIENTS = 32
_PATIENCE = 60.0


def load(
    port: int, operation: str, seconds: float, *, prefix: str = "", count: int | None = None
) -> Answered:
    """Send one operation repeatedly for some seconds, or up to `count` times."""
    arguments = {
        "--port": port,
        "--operation": operation,
        "--prefix": prefix,
        "--clients": CLIENTS,
        "--seconds": seconds,
    }
    words = [str(word) for pair in arguments.items() for word in pair]
    most = [] if count is None else ["--count", str(count)]
    return Answered(**measured("benchmarks.load", *words, *most, timeout=seconds + _PATIENCE))


def middle(rounds: Sequence[Answered]) -> Answered:
    """Return the medians of several rounds."""
    return Answered(
        requests=sum(each.requests for each in rounds),
        per_second=median([each.per_second for each in rounds]),
        p50=median([each.p50 for each in rounds]),
        p99=median([each.p99 for each in rounds]),
        most=max(each.most for each in rounds),
    )


def shown(answered: Answered) -> str:
    return f"{per_second(answered.per_second)}, p50 {answered.p50:.0f}, p99 {answered.p99:.0f} ms"
