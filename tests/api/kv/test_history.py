"""What the key-value table was, over HTTP: versions, the table at an earlier moment, and the way back."""

from typing import Any

import pytest

from tests.api.marks import on_both, shares_service
from tests.api.service import Api, pointers, problem
from tests.api.tasks.test_list import walk
from tests.support.factories import eventually

pytestmark = on_both
KV = "/v1/tasks/t/kv"


@pytest.fixture(autouse=True)
def task(api: Api) -> dict[str, Any]:
    return api.task("t", handler="count", kv_history=3)


def put(api: Api, key: str, value: Any) -> dict[str, Any]:
    answer = api.put(f"{KV}/{key}", json={"value": value})
    assert answer.status_code in {200, 201}, answer.text
    return dict(answer.json())


def revert(api: Api, **body: Any) -> Any:
    return api.post(f"{KV}/revert", json=body)


def values_at(api: Api, at: Any, query: str = "") -> dict[str, Any]:
    found = api.read(f"{KV}?at={at}{query}")
    assert (found["incomplete"], found["missing"]) == (False, [])
    return {each["key"]: each["value"] for each in found["items"]}


def test_the_versions_of_an_entry_are_listed_newest_first(api: Api) -> None:
    first = put(api, "count", 1)
    run = api.ended(api.run("t"))
    api.delete(f"{KV}/count")

    found = api.read(f"{KV}/count/history")

    removal, by_run, by_client = found["items"]
    assert (found["next_cursor"], found["incomplete"]) == (None, False)
    assert removal | {"updated_at": 0} == {
        "key": "count",
        "deleted": True,
        "expired": False,
        "version": 3,
        "updated_at": 0,
        "updated_by": "local",
        "expires_at": None,
    }
    assert (by_run["value"], by_run["updated_by"]) == (2, f"run:{run['id']}")
    assert (by_run["attempt"], "attempt" in removal) == (1, False)
    assert by_client == first | {"deleted": False, "expired": False}


def test_versions_are_paged_and_show_that_older_ones_are_forgotten(api: Api) -> None:
    for number in range(9):
        put(api, "a", number)

    pages = list(walk(api, f"{KV}/a/history?limit=2"))

    assert [[each["value"] for each in page] for page in pages] == [[8, 7], [6]]
    assert api.read(f"{KV}/a/history")["incomplete"]


def test_versions_show_bytes_and_expiry(api: Api) -> None:
    png = {"Content-Type": "image/png"}
    assert api.put(f"{KV}/a?ttl=0.05s", content=b"\x00\xff", headers=png).status_code == 201
    eventually(lambda: api.get(f"{KV}/a").status_code == 404)

    found = api.items(f"{KV}/a/history")[-1]

    assert (found["value"], found["encoding"]) == ("AP8=", "base64")
    assert found["content_type"] == "image/png"
    assert found["expired"]


@shares_service
@pytest.mark.parametrize("cursor", ["x", "WyJ4Il0", "WyItMSJd", "WyIxIiwiMiJd"])
def test_foreign_cursors_of_versions_are_refused(api: Api, cursor: str) -> None:
    put(api, "a", 1)

    problem(api.get(f"{KV}/a/history?cursor={cursor}"), 422, "invalid-cursor")
    problem(api.get(f"{KV}?at=1&cursor={cursor}"), 422, "invalid-cursor")


def test_the_history_of_an_unknown_entry_is_404(api: Api) -> None:
    problem(api.get(f"{KV}/a/history"), 404, "not-found")
    problem(api.get("/v1/tasks/none/kv/a/history"), 404, "not-found")


def test_the_table_is_read_as_it_was(api: Api) -> None:
    put(api, "count", 5)
    kept = put(api, "a", 1)
    run = api.ended(api.run("t"))
    put(api, "a", 2)
    late = put(api, "b", 1)

    assert values_at(api, run["id"]) == {"a": 1, "count": 5}
    assert values_at(api, kept["version"]) == {"a": 1, "count": 5}
    assert values_at(api, late["updated_at"]) == {"a": 2, "b": 1, "count": 6}
    assert values_at(api, "2100-01-01T00:00:00Z") == {"a": 2, "b": 1, "count": 6}
    assert values_at(api, "2000-01-01T00:00:00%2B01:00") == {}
    assert values_at(api, run["id"], "&prefix=a") == {"a": 1}
    assert values_at(api, run["id"], "&keys=a,b") == {"a": 1}
    [entry] = api.items(f"{KV}?at={run['id']}&keys=a")
    assert entry == kept
    [entry] = api.items(f"{KV}?at={run['id']}&keys=a&include=keys")
    assert (entry["size"], "value" in entry) == (1, False)


def test_pages_of_the_table_as_it_was_are_of_one_moment(api: Api) -> None:
    for key in ("a", "b", "c", "d", "e"):
        put(api, key, 0)

    seen = []
    for page in walk(api, f"{KV}?at=2100-01-01T00:00:00Z&limit=2"):
        seen.append([(each["key"], each["value"]) for each in page])
        put(api, "d", 1)
        put(api, "bb", 1)

    assert seen == [[("a", 0), ("b", 0)], [("c", 0), ("d", 0)], [("e", 0)]]


def test_forgotten_entries_are_reported_as_missing(api: Api) -> None:
    put(api, "kept", 1)
    for number in range(9):
        put(api, "a", number)

    found = api.read(f"{KV}?at=3")

    assert [each["key"] for each in found["items"]] == ["kept"]
    assert (found["incomplete"], found["missing"], found["revision"]) == (True, ["a"], 3)


@shares_service
@pytest.mark.parametrize(
    "at", ["x", "", "-1", "1.5", "2026-02-30", "2026-01-01T25:00:00", "9" * 19, "٣", "today"]
)
def test_invalid_moments_are_refused(api: Api, at: str) -> None:
    problem(api.get(KV, params={"at": at}), 422, "invalid-filter")


def test_an_earlier_table_cannot_be_counted_or_watched(api: Api) -> None:
    problem(api.get(f"{KV}?at=0&include=count"), 422, "invalid-filter")
    problem(api.get(f"{KV}?at=0&watch=*"), 422, "invalid-filter")


def test_a_table_is_reverted_to_before_a_run_and_back(api: Api) -> None:
    put(api, "count", 5)
    put(api, "a", 1)
    run = api.ended(api.run("t"))
    api.delete(f"{KV}/a")
    put(api, "new", 1)

    planned = revert(api, run=run["id"], dry_run=True).json()
    untouched = values_at(api, "2100-01-01T00:00:00Z")
    done = revert(api, run=run["id"]).json()

    assert planned["set"] == done["set"] == ["a", "count"]
    assert planned["deleted"] == done["deleted"] == ["new"]
    assert (planned["revision"], planned["dry_run"]) == (5, True)
    assert untouched == {"count": 6, "new": 1}
    assert done == planned | {"dry_run": False, "revision": 6}
    assert (done["reverted_to"], done["previous_revision"]) == (2, 5)
    entries = {each["key"]: each for each in api.items(KV)}
    assert {key: each["value"] for key, each in entries.items() if key != "_result"} == {
        "a": 1,
        "count": 5,
    }
    assert (entries["a"]["version"], entries["a"]["updated_by"]) == (6, "local")
    back = revert(api, revision=done["previous_revision"])
    assert back.status_code == 200
    assert values_at(api, 7) == {"count": 6, "new": 1}


def test_a_table_is_reverted_to_a_time(api: Api) -> None:
    put(api, "a", 1)
    at = put(api, "b", 1)["updated_at"]
    api.ended(api.run("t"))

    assert revert(api, at=at).json()["deleted"] == ["count"]
    assert revert(api, at=at).json()["deleted"] == []


def test_a_table_is_not_reverted_to_a_forgotten_revision(api: Api) -> None:
    for number in range(9):
        put(api, "a", number)

    for dry_run in (True, False):
        refused = problem(revert(api, revision=3, dry_run=dry_run), 409, "history-too-short")
        assert (refused["missing"], refused["known_from"]) == (["a"], 0)
    assert api.read(f"{KV}/a")["value"] == 8


def test_a_revert_to_values_that_do_not_fit_the_schema_is_refused(api: Api) -> None:
    put(api, "a", "x")
    put(api, "a", 1)
    api.task("t", handler="count", kv_history=3, kv_schema={"a": {"type": "integer"}})

    refused = problem(revert(api, revision=1), 422, "kv-schema")

    assert refused["errors"] == []
    assert "'a'" in refused["detail"]
    assert api.read(f"{KV}/a")["value"] == 1


def test_concurrent_reverts_and_writes_lose_nothing(api: Api) -> None:
    put(api, "a", 0)
    put(api, "a", 1)

    calls: list[tuple[str, str, dict[str, Any]]] = [
        ("PUT", f"{KV}/b{number}", {"json": {"value": 1}}) for number in range(8)
    ]
    calls.insert(4, ("POST", f"{KV}/revert", {"json": {"revision": 1}}))
    answers = api.together(calls)

    assert {each.status_code for each in answers} <= {200, 201}
    done = answers[4].json()
    written = {each["key"]: each["version"] for each in api.items(KV)}
    assert written["a"] == done["revision"]
    assert all(version > done["revision"] for key, version in written.items() if key != "a")
    assert len(done["deleted"]) + len(written) - 1 == 8


@shares_service
@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, ""),
        ({"run": None}, ""),
        ({"run": "x"}, "/run"),
        ({"at": "yesterday"}, "/at"),
        ({"revision": "1"}, "/revision"),
        ({"revision": -1}, "/revision"),
        ({"revision": 1, "at": "2026-01-01T00:00:00Z"}, ""),
        ({"revision": 1, "dry_run": "yes"}, "/dry_run"),
        ({"revision": 1, "to": 1}, "/to"),
        ([], ""),
    ],
)
def test_reverts_without_a_valid_moment_are_refused(api: Api, body: Any, pointer: str) -> None:
    refused = api.post(f"{KV}/revert", json=body)

    assert refused.status_code == 422
    assert pointers(refused) == [pointer]


def test_a_revert_to_before_an_unknown_run_is_404(api: Api) -> None:
    run = "01a20bd8-3c05-7058-ab7c-c61199886531"

    problem(revert(api, run=run), 404, "not-found")
    problem(api.get(f"{KV}?at={run}"), 404, "not-found")
    problem(revert(api, revision=99), 422, "invalid")
