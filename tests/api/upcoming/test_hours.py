"""How much is due in each hour: counted, estimated of many, and only what a key may see."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from rota.domain.access.scopes import Scope
from rota.store.scheduling import sampled
from tests.api.access.clients import KEY, OURS, client, with_key
from tests.api.marks import on_both
from tests.api.service import Api, serving

HOURLY = {"type": "cron", "expression": "0 * * * *"}


@pytest.fixture
def with_keys(another_database: Callable[[str], str]) -> Iterator[Api]:
    """A service that needs keys."""
    headers = {"authorization": f"Bearer {KEY}"}
    with serving(another_database("sqlite"), api_key=KEY, headers=headers) as service:
        yield service


def counted(api: Api, query: str = "", **options: Any) -> Any:
    answer = api.get(f"/v1/upcoming/hours{query}", **options)
    assert answer.status_code == 200, answer.text
    return answer.json()


def total(found: Any) -> int:
    return sum(each["runs"] for each in found["items"])


@on_both
def test_each_fire_time_counts_in_its_hour(api: Api) -> None:
    api.task("hourly", schedule=HOURLY, tags=["a"])
    hour = (
        datetime.now(UTC).hour + 12
    ) % 24  # far from now: one that has passed in this hour would count once less
    api.task("daily", schedule={"type": "cron", "expression": f"30 {hour} * * *"})
    api.task("manual", schedule={"type": "manual"})

    found = counted(api)

    assert (found["exact"], found["tasks"], len(found["items"])) == (True, 2, 168)
    assert total(found) == 167 + 7
    with_daily = [each["runs"] for each in found["items"] if each["at"][11:13] == f"{hour:02}"]
    assert with_daily == [2] * 7
    assert total(counted(api, "?tag=a&days=2")) == 47


@on_both
def test_runs_take_as_long_as_the_last_one(api: Api) -> None:
    api.task("every-second", schedule={"type": "interval", "every": "1s", "initial_delay": "2h"})
    run = api.ended(api.run("every-second"))

    items = counted(api, "?days=1")["items"]

    assert items[5]["seconds"] == pytest.approx(3_600 * run["duration"], rel=0.01)
    assert items[1]["seconds"] == 0


@on_both
def test_many_fire_times_are_estimated(api: Api) -> None:
    api.task("often", schedule={"type": "interval", "every": "10s"})

    found = counted(api, "?days=2")

    assert not found["exact"]
    assert found["items"][20]["runs"] == pytest.approx(360, abs=1)


@on_both
def test_of_many_tasks_a_part_represents_all(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rota.api.upcoming.hours.FIRST", 3)
    monkeypatch.setattr(sampled, "_PLACES", 2)
    monkeypatch.setattr(sampled, "_AT_EACH", 2)
    for number in range(20):
        api.task(f"task-{number}", schedule=HOURLY)

    found = counted(api, "?days=1")

    assert (found["exact"], found["tasks"]) == (False, 20)
    assert total(found) == pytest.approx(20 * 23, abs=24)


def test_a_limited_key_counts_its_tasks(with_keys: Api) -> None:
    with_keys.task("ours-1", schedule=HOURLY)
    with_keys.task("theirs-1", schedule=HOURLY)
    ours = with_key(with_keys, client(Scope.TASKS_READ, tasks=OURS))

    found = counted(with_keys, "?days=1", headers=ours)

    assert (found["tasks"], total(found)) == (1, 23)


def test_what_lies_in_a_hold_does_not_count(api: Api) -> None:
    api.task("hourly", schedule=HOURLY)
    api.put("/v1/holds/all", json={"selector": {"all": True}})

    assert total(counted(api, "?days=1")) == 0
