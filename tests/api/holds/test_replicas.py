"""A hold on everything that one replica takes is obeyed by both, and both continue when the other one ends it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.api.service import Api, serving
from tests.support.factories import eventually

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.parametrize("database_engine", ["postgresql"], indirect=True),
]
EVERY_SECOND = {"type": "interval", "every": 1}
TASKS = [f"t-{number}" for number in range(4)]


@pytest.fixture
def other(api: Api, migrated_database_url: str) -> Iterator[Api]:
    with serving(migrated_database_url) as made:
        yield made


def runs(api: Api, query: str) -> list[dict[str, Any]]:
    return api.items(f"/v1/runs?limit=200&{query}")


def last_start(api: Api) -> str:
    return max(each["started_at"] or "" for each in runs(api, "trigger=schedule"))


def test_no_run_starts_while_everything_is_held(api: Api, other: Api) -> None:
    for name in TASKS:
        api.task(name, schedule=EVERY_SECOND)
    api.task("head")
    api.task("tail", schedule={"type": "after", "tasks": ["head"]})
    eventually(lambda: len(runs(api, "status=succeeded")) >= len(TASKS))

    made = api.put("/v1/holds/all", json={"selector": {"all": True}, "reason": "the move"})
    held_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    assert made.status_code == 201
    assert other.ended(other.run("head"))["status"] == "succeeded"
    # Fire times pass, and the run that the end of another one has made meets the claims of both.
    eventually(lambda: {each["task"] for each in runs(api, "reason=held")} == set(TASKS))
    [waiting] = eventually(lambda: runs(other, "task=tail&status=blocked"))

    assert waiting["waiting_on"] == ["hold"]
    assert last_start(api) <= held_at.replace("+00:00", "Z")
    assert "hold 'all' (the move)" in other.read("/v1/tasks/tail/explain")["message"]
    assert eventually(lambda: other.read("/v1/tasks/tail")["held_by"]) == ["all"]

    assert other.delete("/v1/holds/all").status_code == 204

    assert api.ended(waiting)["status"] == "succeeded"
    eventually(lambda: last_start(api) > held_at)
    assert {each["status"] for each in api.items("/v1/tasks?name_prefix=t-")} == {"active"}
