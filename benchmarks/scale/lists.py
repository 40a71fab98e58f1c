"""Every list, by each filter and by those that are used together: the first page, and one far behind."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from benchmarks.figures import Line
from benchmarks.scale.data import BUSIEST
from benchmarks.scale.measured import Scale, measured

MOST = 300.0
#: How many pages are turned, of 200 items each.
_PAGES = 20

_RUNS = (
    "",
    "total=true",
    *(f"status={status}" for status in ("succeeded", "failed", "cancelled", "skipped", "queued")),
    "status=failed,cancelled",
    "status=queued,running,blocked",
    *(f"reason={reason}" for reason in ("error", "fatal", "none")),
    *(f"error={error}" for error in ("http.status", "rare", "none")),
    *(f"trigger={trigger}" for trigger in ("schedule", "manual", "backfill")),
    *(f"tag={tag}" for tag in ("half", "team-42", "rare", "none", "half,rare")),
    "all_tags=half,team-42",
    "all_tags=half,rare",
    "tag=team-42&status=failed",
    "tag=half&status=failed",
    "tag=half&error=rare",
    f"task={BUSIEST}",
    f"task={BUSIEST}&status=failed",
    f"task={BUSIEST}&status=running",
    "status=failed&error=http.status",
    "status=failed&reason=fatal",
    "status=failed&total=true",
    "tag=team-42&total=true",
)
_TASKS = (
    "",
    "total=true",
    *(f"status={status}" for status in ("active", "paused", "completed")),
    *(f"tag={tag}" for tag in ("half", "team-42", "rare", "none")),
    "all_tags=half,team-42",
    "tag=half&status=completed",
    "handler=noop",
    "handler=none",
    "queue=none",
    "name_prefix=team42-",
    "name_prefix=team42-&status=paused",
)
_OTHERS = (
    "/v1/audit",
    "/v1/audit?action=task.deleted",
    "/v1/audit?principal=key:rare",
    f"/v1/audit?task={BUSIEST}",
    f"/v1/tasks/{BUSIEST}/runs",
    f"/v1/tasks/{BUSIEST}/kv",
    f"/v1/tasks/{BUSIEST}/kv?prefix=k0000",
    f"/v1/tasks/{BUSIEST}/alerts",
    "/v1/alerts",
    "/v1/queues",
    "/v1/handlers",
)


@measured("lists")
def lists(scale: Scale) -> list[Line]:
    """Return the slowest request of each list."""
    return [
        _slowest(scale, "The slowest list of runs", _runs(scale)),
        _slowest(scale, "The slowest list of tasks", _tasks(scale)),
        _slowest(scale, "The slowest of the other lists", list(_OTHERS)),
        _slowest(
            scale,
            "Failures of a day in groups",
            ["/v1/runs/groups", "/v1/runs/groups?tag=team-42&by=error,task"],
        ),
    ]


def _runs(scale: Scale) -> list[str]:
    paths = [f"/v1/runs?{query}" for query in (*_RUNS, *_spans())]
    cursor = _far_behind(scale, "/v1/runs")
    return paths + [f"{path}&cursor={cursor}" for path in paths if cursor]


def _tasks(scale: Scale) -> list[str]:
    paths = [f"/v1/tasks?{query}" for query in _TASKS]
    cursor = _far_behind(scale, "/v1/tasks")
    return paths + [f"{path}&cursor={cursor}" for path in paths if cursor]


def _spans() -> list[str]:
    """Return filters by times: an hour and a day that are new, and others that are old."""
    now = datetime.now(UTC)
    hour, day, old = timedelta(hours=1), timedelta(days=1), now - timedelta(days=29)
    spans = [(now - hour, now), (now - day, now), (old, old + hour), (old, old + day)]
    return [
        f"{what}_from={_text(first)}&{what}_to={_text(last)}{more}"
        for what in ("finished", "scheduled")
        for first, last in spans
        for more in ("", "&status=failed", "&tag=rare")
    ]


def _far_behind(scale: Scale, path: str) -> str:
    """Return a cursor of a page that is far behind."""
    cursor = ""
    for _ in range(_PAGES):
        following = scale.read(f"{path}?limit=200{cursor and f'&cursor={cursor}'}")["next_cursor"]
        if following is None:
            break
        cursor = following
    return cursor


def _text(at: datetime) -> str:
    return quote(at.isoformat())


def _slowest(scale: Scale, what: str, paths: list[str]) -> Line:
    times = {path: scale.milliseconds(path) for path in paths}
    slowest = max(times, key=times.__getitem__)
    shown = slowest.partition("&cursor=")
    name = f"{what} of {len(paths)} (`{shown[0]}`{', far behind' if shown[1] else ''})"
    return scale.line(name, times[slowest], MOST)
