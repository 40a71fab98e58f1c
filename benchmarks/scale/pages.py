"""Every page of the dashboard, with its default and its heaviest filters, as the guest of the machine sees it."""

import time
from typing import Final

from benchmarks.client import fetch
from benchmarks.figures import Line
from benchmarks.scale.data import BUSIEST
from benchmarks.scale.measured import Scale, measured

MOST: Final = 300.0

_TASKS: Final = (
    "",
    "?status=paused",
    "?tag=half",
    "?tag=half&status=completed",
    "?all_tags=half,team-42",
    "?name_prefix=team42-",
    "?handler=noop",
    "?queue=none",
    *(f"/{verb}" for verb in ("pause", "resume", "run", "cancel")),
    *(f"/{verb}?tag=team-42" for verb in ("pause", "resume", "run", "cancel")),
)
_TASK: Final = (
    *("", "?window=24h", "?window=30d", "/run", "/run?as=json", "/edit"),
    *("/kv", "/kv?prefix=k0000", "/kv/k0000001"),
)
_RUNS: Final = (
    "",
    "?show=values",
    "?window=1h",
    "?window=24h&status=failed",
    "?window=7d",
    "?status=failed",
    "?status=queued,running,blocked",
    "?tag=half",
    "?tag=half&status=failed",
    "?tag=half&error=rare",
    "?tag=rare",
    "?error=http.status",
    "?error_text=999",
    "?error_text=nothing",
    "?window=30d&error_text=request",
    f"?task={BUSIEST}",
    f"?task={BUSIEST}&status=failed",
)
_FAILURES: Final = ("", "?window=30d", "?window=30d&by=error,task", "?tag=half&window=7d")
_AROUND: Final = (
    "",
    "/load",
    "/load?tag=half",
    f"/load?task={BUSIEST}",
    *("/queues", "/holds", "/calendars", "/handlers", "/secrets", "/keys", "/system", "/runs/bulk"),
    *("/runs/bulk/new", "/runs/bulk/new?status=failed", "/new-task"),
    *(
        "/audit",
        "/audit?action=task.deleted",
        "/audit?principal=key:rare",
        f"/audit?task={BUSIEST}",
    ),
)


@measured("pages")
def pages(scale: Scale) -> list[Line]:
    """Return the slowest page of each kind; of each page the fastest of several requests counts."""
    # Once for a task, so that the page itself is compiled, as those that are asked for several times are.
    _fastest(scale, f"/ui/load?task={BUSIEST}", 1)
    return [
        # First, as it is kept for a minute.
        scale.line("The load of the week, computed anew", _fastest(scale, "/ui/load", 1), MOST),
        _slowest(scale, "The slowest list of tasks", "/ui/tasks", _TASKS),
        _slowest(scale, "The slowest page of a task", f"/ui/tasks/{BUSIEST}", _TASK),
        _slowest(scale, "The slowest list of runs", "/ui/runs", _RUNS),
        _slowest(scale, "The slowest page of failures", "/ui/runs/failures", _FAILURES),
        _slowest(scale, "The slowest page of a run", f"/ui/runs/{_run(scale)}", ("", "/rerun")),
        _slowest(scale, "The slowest of the other pages", "/ui", _AROUND),
    ]


def _run(scale: Scale) -> str:
    """Return the id of a failed run of the busiest task."""
    found = scale.read(f"/v1/runs?task={BUSIEST}&limit=1")["items"]
    return str(found[0]["id"])


def _slowest(scale: Scale, what: str, base: str, pages: tuple[str, ...]) -> Line:
    times = {f"{base}{each}": _fastest(scale, f"{base}{each}", scale.size.rounds) for each in pages}
    slowest = max(times, key=times.__getitem__)
    return scale.line(
        f"{what} of the dashboard, of {len(pages)} (`{slowest}`)", times[slowest], MOST
    )


def _fastest(scale: Scale, path: str, rounds: int) -> float:
    return min(_milliseconds(scale, path) for _ in range(rounds))


def _milliseconds(scale: Scale, path: str) -> float:
    began = time.perf_counter()
    fetch(scale.rota.port, path)
    return (time.perf_counter() - began) * 1_000
