"""GET /v1/tasks/{name}/stats and /v1/stats."""

from typing import Any

import pytest

from rota.api.http.recent import Recent
from tests.api.marks import on_both, shares_service
from tests.api.service import YEARLY, Api, problem

PINGED: dict[str, Any] = {"handler": "ping"}


def ping(api: Api, name: str, **body: Any) -> None:
    assert api.post(f"/v1/tasks/{name}/ping", json=body).status_code == 201


@on_both
def test_the_statistics_of_a_task_count_its_runs(api: Api) -> None:
    api.task("backup", **PINGED)
    ping(api, "backup", duration=2)
    ping(api, "backup", duration=4)
    ping(api, "backup", status="failed", duration=30)

    found = api.read("/v1/tasks/backup/stats?window=1h")

    assert found["task"] == "backup"
    assert found["runs"]["total"] == 3
    assert found["runs"]["by_reason"] == {"error": 1}
    assert found["success_rate"] == 0.666667
    assert found["duration"] == {"count": 3, "p50": 4, "p95": 30, "p99": 30, "sampled": False}
    none = dict.fromkeys(("p50", "p95", "p99"))
    assert found["lateness"] == {"count": 0, **none, "sampled": False}
    assert (found["exact"], found["complete_since"]) == (True, None)
    assert found["completeness"]["due"] == 0
    assert found["last_failure_at"] > found["last_success_at"]
    assert found["consecutive_failures"] == 1


@on_both
def test_the_statistics_of_all_tasks_add_those_up_that_are_asked_for(api: Api) -> None:
    for name, tags in (("a", ["x"]), ("b", ["x", "y"]), ("c", ["y"])):
        api.task(name, tags=tags, **PINGED)
        ping(api, name)

    assert api.read("/v1/stats")["runs"]["by_status"]["succeeded"] == 3
    assert api.read("/v1/stats?tag=x")["runs"]["total"] == 2
    assert api.read("/v1/stats?task=a,c")["runs"]["total"] == 2
    assert api.read("/v1/stats?task=absent&window=7d")["runs"]["total"] == 0


@shares_service
def test_a_window_is_a_length_or_two_times(api: Api) -> None:
    api.task("timed", schedule=YEARLY | {"timezone": "Europe/Berlin"})

    found = api.read("/v1/tasks/timed/stats?from=2026-03-01&to=2026-03-02")

    assert (found["from"], found["to"]) == ("2026-02-28T23:00:00.000Z", "2026-03-02T23:00:00.000Z")


@shares_service
@pytest.mark.parametrize(
    ("query", "parameter", "detail"),
    [
        ("window=soon", "window", "is not a duration"),
        ("window=0", "window", "between 1 ms and 366 days"),
        ("window=400d", "window", "between 1 ms and 366 days"),
        ("window=7d&from=2026-01-01T00:00:00Z", "window", "not both"),
        ("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "from", "ends before it begins"),
        ("from=2020-01-01T00:00:00Z&to=2022-01-01T00:00:00Z", "from", "at most 366 days"),
        ("from=yesterday", "from", "RFC 3339"),
    ],
)
def test_a_window_that_is_none_is_refused_with_what_would_be_right(
    api: Api, query: str, parameter: str, detail: str
) -> None:
    api.task("asked", schedule=YEARLY)

    for path in ("/v1/stats", "/v1/tasks/asked/stats"):
        refused = problem(api.get(f"{path}?{query}"), 422, "invalid")
        assert refused["errors"][0]["parameter"] == parameter
        assert detail in refused["errors"][0]["detail"]


@shares_service
def test_there_are_no_statistics_of_a_task_that_is_not_there(api: Api) -> None:
    problem(api.get("/v1/tasks/absent/stats"), 404, "not-found")


def test_statistics_that_took_long_are_kept_for_who_asks_the_same_and_sees_the_same() -> None:
    kept: Recent[str] = Recent(most=2)
    kept.keep("a", "of a", until=10)
    kept.keep("b", "of b", until=5)

    assert [kept.find(key, now=5) for key in ("a", "b", "c")] == ["of a", None, None]

    kept.keep("c", "of c", until=10)
    assert [kept.find(key, now=4) for key in ("a", "b", "c")] == [None, "of b", "of c"]
