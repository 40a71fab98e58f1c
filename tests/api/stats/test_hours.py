"""What ended in each of the last hours; the replicas; tasks that fail."""

from collections.abc import Callable, Iterator

import pytest

from rota.domain.access.scopes import Scope
from tests.api.access.clients import KEY, OURS, client, with_key
from tests.api.marks import always_on_both
from tests.api.service import Api, serving
from tests.support.factories import eventually


@pytest.fixture
def with_keys(another_database: Callable[[str], str]) -> Iterator[Api]:
    """A service that needs keys."""
    headers = {"authorization": f"Bearer {KEY}"}
    with serving(another_database("sqlite"), api_key=KEY, headers=headers) as service:
        yield service


@always_on_both
def test_runs_count_in_the_hour_in_which_they_ended(api: Api) -> None:
    api.task("works")
    api.task("broken", handler="fail", retry={"max_attempts": 1})
    for name in ("works", "works", "broken"):
        api.ended(api.run(name))

    items = api.read("/v1/stats/hours?hours=2")["items"]

    assert len(items) == 2
    assert sum(each["succeeded"] for each in items) == 2
    assert sum(each["failed"] for each in items) == 1
    assert items[0]["lateness"] is None


@always_on_both
def test_lateness_is_that_of_schedules(api: Api) -> None:
    api.task("once", schedule={"type": "once", "delay": "0s"})
    eventually(lambda: api.items("/v1/runs?status=succeeded"))

    items = api.read("/v1/stats/hours")["items"]

    assert len(items) == 12
    found = [each for each in items if each["lateness"] is not None]
    assert [each["succeeded"] for each in found] == [1]
    assert 0 <= found[0]["lateness"] <= found[0]["lateness_max"] < 60


def test_a_limited_key_counts_the_runs_of_its_tasks_and_sees_no_replicas(with_keys: Api) -> None:
    for name in ("ours-1", "theirs-1"):
        with_keys.task(name)
        with_keys.ended(with_keys.run(name))
    ours = with_key(with_keys, client(Scope.RUNS_READ, tasks=OURS))

    items = with_keys.get("/v1/stats/hours", headers=ours).json()["items"]

    assert sum(each["succeeded"] for each in items) == 1
    assert with_keys.get("/v1/replicas", headers=ours).status_code == 403


@always_on_both
def test_tasks_that_fail_are_listed(api: Api) -> None:
    api.task("works")
    api.task("broken", handler="fail", retry={"max_attempts": 1})
    for name in ("works", "broken"):
        api.ended(api.run(name))

    assert [each["name"] for each in api.items("/v1/tasks?failing=true")] == ["broken"]
    assert len(api.items("/v1/tasks?failing=false")) == 2


@always_on_both
def test_replicas_are_listed(api: Api) -> None:
    (replica,) = api.read("/v1/replicas")["items"]

    assert replica["live"]
    assert replica["self"]
    assert "echo" in replica["handlers"]
