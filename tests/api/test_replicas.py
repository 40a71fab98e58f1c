"""Two replicas on one PostgreSQL: what is promised of one holds for both together."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from rota.domain.time_zones import database as zone_database
from rota.domain.time_zones.database import PINNED
from tests.api.service import MANUAL, Api, serving
from tests.api.stream_client import Stream
from tests.support.factories import eventually
from tests.support.zones import changed

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.parametrize("database_engine", ["postgresql"], indirect=True),
]

TASK = {"handler": "echo", "schedule": MANUAL}
Call = tuple[str, str, dict[str, Any]]


@pytest.fixture
def other(api: Api, migrated_database_url: str) -> Iterator[Api]:
    with serving(migrated_database_url) as made:
        yield made


def both(api: Api, other: Api, calls: list[Call]) -> list[httpx.Response]:
    """Make the same calls to both replicas at the same time."""
    with ThreadPoolExecutor(2) as threads:
        answers = threads.map(lambda each: each.together(calls), (api, other))
        return [answer for group in answers for answer in group]


def test_identical_posts_with_a_key_make_one_task(api: Api, other: Api) -> None:
    for number in range(20):
        options = {"json": TASK, "headers": {"Idempotency-Key": f"k-{number}"}}

        answers = both(api, other, [("POST", "/v1/tasks", options)] * 3)

        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.content for answer in answers}) == 1


def test_one_of_two_registrations_of_a_name_is_refused(api: Api, other: Api) -> None:
    for number in range(20):
        options = {"json": TASK | {"name": f"t-{number}"}}

        answers = both(api, other, [("POST", "/v1/tasks", options)])

        assert sorted(answer.status_code for answer in answers) == [201, 409]


def test_two_declarations_of_a_name_are_both_accepted(api: Api, other: Api) -> None:
    for number in range(20):
        answers = both(api, other, [("PUT", f"/v1/tasks/t-{number}", {"json": TASK})])

        assert sorted(answer.status_code for answer in answers) == [200, 201]
        assert {answer.json()["generation"] for answer in answers} == {1}


def test_counting_runs_on_both_counts_each_once(api: Api, other: Api) -> None:
    api.task("t", handler="count", overlap_policy="allow")

    accepted = both(api, other, [("POST", "/v1/tasks/t/run", {})] * 8)

    results = [api.ended(answer.json())["result"] for answer in accepted]
    assert sorted(results) == list(range(1, 17))
    assert api.read("/v1/tasks/t/kv/count")["value"] == 16


def test_a_wait_ends_with_a_run_of_the_other_replica(api: Api, other: Api) -> None:
    api.task("t")
    run = other.run("t")

    assert api.ended(run)["status"] == "succeeded"


def test_a_watch_streams_the_writes_of_the_other_replica(api: Api, other: Api) -> None:
    api.task("t")
    stream = Stream(api, "/v1/tasks/t/kv?watch=")
    eventually(lambda: stream.last_id)
    other.put("/v1/tasks/t/kv/a", json={"value": 1})
    stream.until_received(1)
    stream.stop()
    other.delete("/v1/tasks/t/kv/a")

    resumed = Stream(other, "/v1/tasks/t/kv?watch=", stream.last_id)
    api.put("/v1/tasks/t/kv/b", json={"value": 2})
    resumed.until_received(2)
    api.delete("/v1/tasks/t")

    received = [*stream.events, *resumed.until_received(3)]
    assert [(each.type, each.data.get("key")) for each in received] == [
        ("kv.set", "a"),
        ("kv.deleted", "a"),
        ("kv.set", "b"),
        ("task.deleted", None),
    ]


def test_events_of_both_replicas_are_streamed_once_and_in_order(api: Api, other: Api) -> None:
    begun = Stream(api, "/v1/events")
    eventually(lambda: begun.last_id)

    both(api, other, [("PUT", f"/v1/tasks/a-{n}", {"json": TASK}) for n in range(10)])
    first = begun.until_received(10)
    begun.stop()
    both(api, other, [("PUT", f"/v1/tasks/b-{n}", {"json": TASK}) for n in range(10)])
    rest = Stream(other, "/v1/events", begun.last_id).until_received(10)

    received = [(each.type, each.data["task"]) for each in (*first, *rest)]
    names = [f"{part}-{n}" for part in "ab" for n in range(10)]
    assert sorted(received) == [("task.created", name) for name in sorted(names)]


def test_replicas_with_different_time_zone_databases_are_warned_of(
    migrated_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = changed("2099a", {"Europe/Berlin": "Africa/Cairo"})
    settings: dict[str, Any] = {"lease_ttl": 3}
    with serving(migrated_database_url, **settings) as api:
        assert api.read("/readyz")["warnings"] == []
        monkeypatch.setattr(zone_database, "PINNED", other)

        with serving(migrated_database_url, **settings) as newer:
            (only,) = warnings = newer.read("/readyz")["warnings"]
            assert only.startswith("Live replicas compute with different time zone databases:")
            assert only.endswith(f": {PINNED.release}, {other.release}.")
            eventually(lambda: api.read("/readyz")["warnings"] == warnings)

        eventually(lambda: api.read("/readyz")["warnings"] == [])
