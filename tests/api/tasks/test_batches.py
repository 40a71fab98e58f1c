"""POST /v1/tasks/batch: all or nothing, with pointers at the item."""

from typing import Any

import pytest

from rota.api.tasks import rendering
from tests.api.marks import on_both, shares_service
from tests.api.service import MANUAL, Api, pointers, problem

pytestmark = on_both

GOOD = {"handler": "echo", "schedule": MANUAL}
GREET = {"handler": "greet", "input": {"name": "Ada"}, "schedule": MANUAL}


def batch(api: Api, items: list[Any], **fields: Any) -> Any:
    return api.post("/v1/tasks/batch", json={"items": items, **fields})


def named(*names: str) -> list[dict[str, Any]]:
    return [GOOD | {"name": name} for name in names]


def test_a_batch_registers_all_of_its_items(api: Api) -> None:
    answer = batch(api, [*named("b", "a"), GOOD])

    assert answer.status_code == 201
    made = answer.json()
    assert made["names"][:2] == ["b", "a"]
    assert api.names() == sorted(made["names"])
    counts = {"created": 3, "updated": 0, "unchanged": 0, "kept": 0, "replaced": 0}
    assert made == counts | {"names": made["names"], "items": made["items"]}
    assert [each["name"] for each in made["items"]] == made["names"]


def test_a_batch_returns_the_outcomes_of_its_items(api: Api) -> None:
    batch(api, named("a", "b", "c"))

    items = [GOOD | {"name": "a", "priority": 1}, *named("b", "d")]
    updated = batch(api, items, on_conflict="update").json()
    kept = batch(api, items, on_conflict="keep").json()
    replaced = batch(api, items, on_conflict="replace").json()

    assert (updated["created"], updated["updated"], updated["unchanged"]) == (1, 1, 1)
    assert (kept["kept"], kept["created"], replaced["replaced"]) == (3, 0, 3)


@shares_service
@pytest.mark.parametrize(
    ("item", "pointer"),
    [
        (GOOD | {"handler": "nobody"}, "/handler"),
        (GREET | {"input": {"name": ""}}, "/input/name"),
        (GREET | {"input": {}}, "/input"),
        (GOOD | {"priority": "high"}, "/priority"),
        (GOOD | {"unknown": 1}, "/unknown"),
        (GOOD | {"schedule": {"type": "cron", "expression": "0 0 30 2 *"}}, "/schedule/expression"),
        (GOOD | {"schedule": {"type": "once", "at": "2001-01-01T00:00:00Z"}}, "/schedule/at"),
        (GOOD | {"name": "pause"}, "/name"),
        (GOOD | {"name": "n-3"}, "/name"),
        ({}, "/handler"),
        ("text", ""),
    ],
)
def test_one_invalid_item_refuses_the_batch_and_is_pointed_at(
    api: Api, item: Any, pointer: str
) -> None:
    items: list[Any] = named(*(f"n-{number}" for number in range(500)))
    items[417] = item if isinstance(item, str) or "name" in item else item | {"name": "bad"}

    refused = batch(api, items)

    assert refused.status_code == 422, refused.text
    assert f"/items/417{pointer}" in pointers(refused)
    assert refused.json()["detail"].startswith(f"/items/417{pointer}: ")
    assert api.names() == []


def test_a_taken_name_refuses_the_batch_and_is_pointed_at(api: Api) -> None:
    batch(api, named("b"))

    refused = batch(api, named("a", "b", "c"))

    found = problem(refused, 409, "task-exists")
    assert pointers(refused) == ["/items/1/name"]
    assert found["task"]["name"] == "b"
    assert api.names() == ["b"]


@shares_service
@pytest.mark.parametrize("items", [[], None, {}, "x"])
def test_a_batch_needs_items(api: Api, items: Any) -> None:
    refused = batch(api, items)

    problem(refused, 422, "invalid")
    assert pointers(refused) == ["/items"]


def test_a_batch_accepts_at_most_ten_thousand_items(api: Api) -> None:
    items = named(*(f"n-{number:05}" for number in range(10_001)))

    refused, accepted = batch(api, items), batch(api, items[:-1])

    assert pointers(refused) == ["/items"]
    assert accepted.json()["created"] == 10_000
    assert api.names("name_prefix=n-0999")[-1] == "n-09999"


def test_a_batch_is_replayed_for_its_key(api: Api) -> None:
    call = {"json": {"items": [GOOD, GOOD]}, "headers": {"Idempotency-Key": "k"}}

    answers = api.together([("POST", "/v1/tasks/batch", call)] * 5)

    assert len({answer.content for answer in answers}) == 1
    assert len(api.names()) == 2


# ------------------------------------------------------------------------------------------- what is ahead of each item
NIGHTLY = {"type": "cron", "expression": "30 2 * * *", "timezone": "Europe/Berlin"}
ODD = [
    GOOD | {"name": "nightly", "schedule": NIGHTLY},
    GOOD | {"name": "by-hand"},
    GOOD | {"name": "timed", "timeout": "1h", "schedule": {"type": "interval", "every": "1m"}},
    GOOD | {"name": "chained", "schedule": {"type": "after", "tasks": ["by-hand", "sleeping"]}},
    GOOD | {"name": "told", "on_failure": {"task": "nobody"}},
    GOOD | {"name": "heard", "schedule": NIGHTLY, "expect_every": "2d"},
    {
        "name": "called",
        "handler": "http",
        "schedule": MANUAL,
        "target": {"url": "https://app.example.com/", "headers": {"X-Api-Key": "abcdefgh12345678"}},
    },
]


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "once"}])
def test_an_item_has_the_fire_times_and_warnings_of_a_single_registration(
    api: Api, headers: dict[str, str]
) -> None:
    api.task("sleeping", paused=True)
    body = {"items": ODD, "on_conflict": "update"}
    items = api.post("/v1/tasks/batch", json=body, headers=headers).json()["items"]

    alone = [api.post("/v1/tasks?on_conflict=update", json=item).json() for item in ODD]

    told = ("name", "next_fire_at", "upcoming", "warnings")
    assert [{field: item[field] for field in told} for item in items] == [
        {field: answer[field] for field in told} for answer in alone
    ]
    assert {item["outcome"] for item in items} == {"created"}
    codes = {item["name"]: {each["code"] for each in item["warnings"]} for item in items}
    assert codes["nightly"] >= {"dst_gap", "dst_fold"}
    assert codes["by-hand"] == set()
    assert codes["timed"] == {"timeout_longer_than_interval"}
    assert codes["chained"] == {"predecessor_paused"}
    assert codes["told"] == {"notified_missing"}
    assert "nobody_notified" in codes["heard"]
    assert codes["called"] == {"plain_secret"}
    assert [len(item["upcoming"]) for item in items] == [3, 0, 3, 0, 0, 3, 0]


def test_only_the_first_twenty_items_have_their_fire_times_and_all_have_warnings(api: Api) -> None:
    items = [GOOD | {"name": f"n-{number}", "schedule": NIGHTLY} for number in range(23)]

    made = batch(api, items).json()["items"]

    assert [len(item["upcoming"]) for item in made[:20]] == [3] * 20
    assert [item["upcoming"] for item in made[20:]] == [None] * 3
    assert {item["next_fire_at"] for item in made} == {made[0]["upcoming"][0]}
    assert [item["warnings"] for item in made] == [made[0]["warnings"]] * 23
    assert made[0]["warnings"]


def test_a_kept_task_of_a_batch_has_its_own_fire_times(api: Api) -> None:
    api.task("a", schedule=NIGHTLY)

    [item] = batch(api, named("a"), on_conflict="keep").json()["items"]

    assert item["outcome"] == "kept"
    assert item["upcoming"] == api.items("/v1/tasks/a/upcoming?count=3")


def test_beyond_the_first_twenty_only_items_with_warnings_are_listed(api: Api) -> None:
    items = named(*(f"n-{number}" for number in range(23)))
    items[21] |= {"schedule": NIGHTLY}

    made = batch(api, items).json()

    assert len(made["names"]) == 23
    assert [each["name"] for each in made["items"]] == [*made["names"][:20], "n-21"]


def test_an_item_that_takes_long_to_look_at_is_registered_and_says_so(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "AT_ONCE", 2)

    items = [GOOD | {"name": "slow", "schedule": NIGHTLY}, *named("quick")]
    [slow, quick] = batch(api, items).json()["items"]

    assert (slow["upcoming"], quick["upcoming"]) == ([], [])
    assert [each["code"] for each in slow["warnings"]] == ["too_costly"]
    assert quick["warnings"] == []
