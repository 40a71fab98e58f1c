"""The key-value table of a task over HTTP."""

from typing import Any

import anyio
import pytest

from tests.api.marks import on_both, shares_service
from tests.api.service import Api, pointers, problem
from tests.api.tasks.test_list import walk
from tests.support.factories import eventually
from tests.support.torture import Part, torture

pytestmark = on_both


@pytest.fixture(autouse=True)
def task(api: Api) -> dict[str, Any]:
    return api.task("t", handler="count")


def put(api: Api, key: str, value: Any, **headers: str) -> Any:
    named = {name.replace("_", "-"): tag for name, tag in headers.items()}
    return api.put(f"/v1/tasks/t/kv/{key}", json={"value": value}, headers=named)


def test_an_entry_is_created_read_changed_and_removed(api: Api, task: dict[str, Any]) -> None:
    created = put(api, "cursor", {"at": [1, None]})
    read = api.get("/v1/tasks/t/kv/cursor")
    changed = put(api, "cursor", 2)
    removed = api.delete("/v1/tasks/t/kv/cursor")

    assert (created.status_code, changed.status_code, removed.status_code) == (201, 200, 204)
    entry = created.json()
    assert entry == read.json()
    assert (entry["key"], entry["value"]) == ("cursor", {"at": [1, None]})
    assert (entry["version"], entry["updated_by"], entry["expires_at"]) == (1, "local", None)
    assert created.headers["etag"] == read.headers["etag"] == f'"{task["id"]}.1"'
    assert changed.headers["etag"] == f'"{task["id"]}.2"'
    problem(api.get("/v1/tasks/t/kv/cursor"), 404, "not-found")
    problem(api.delete("/v1/tasks/t/kv/cursor"), 404, "not-found")


@shares_service
@pytest.mark.parametrize(
    "value",
    [None, False, 0, 0.1, 5.0, 1e22, 2**53 + 1, -(10**40), "", 'ünï 🎉 \\ " \n', [], {}, [[[{}]]]],
)
def test_any_json_is_returned_as_it_was_sent(api: Api, value: Any) -> None:
    put(api, "k", value)

    read = api.read("/v1/tasks/t/kv/k")["value"]

    assert read == value
    assert type(read) is type(value)


def test_versions_are_revisions_of_the_task_and_never_used_again(api: Api) -> None:
    versions = [put(api, key, 1).json()["version"] for key in ("a", "b", "a")]
    api.delete("/v1/tasks/t/kv/a")

    assert versions == [1, 2, 3]
    assert put(api, "a", 1).json()["version"] == 5


def test_a_failed_write_uses_no_version(api: Api) -> None:
    first = put(api, "a", 1)
    assert put(api, "a", 2, if_none_match="*").status_code == 412

    assert put(api, "a", 2, if_match=first.headers["etag"]).json()["version"] == 2


def test_if_match_allows_a_change_only_of_the_version_read(api: Api) -> None:
    old = put(api, "a", 1).headers["etag"]
    new = put(api, "a", 2, if_match=old).headers["etag"]

    refused = problem(put(api, "a", 3, if_match=old), 412, "precondition-failed")
    problem(api.delete("/v1/tasks/t/kv/a", headers={"If-Match": old}), 412, "precondition-failed")

    assert refused["version"] == 2
    assert api.read("/v1/tasks/t/kv/a")["value"] == 2
    assert api.delete("/v1/tasks/t/kv/a", headers={"If-Match": new}).status_code == 204
    problem(put(api, "a", 4, if_match=new), 412, "precondition-failed")


def test_if_none_match_creates_only(api: Api) -> None:
    assert put(api, "a", 1, if_none_match="*").status_code == 201

    problem(put(api, "a", 2, if_none_match="*"), 412, "precondition-failed")
    assert api.read("/v1/tasks/t/kv/a")["value"] == 1


def test_conditions_on_an_entry_accept_any_tag_and_lists(api: Api) -> None:
    problem(put(api, "a", 1, if_match="*"), 412, "precondition-failed")
    old = put(api, "a", 1).headers["etag"]

    new = put(api, "a", 2, if_match="*").headers["etag"]

    problem(put(api, "a", 3, if_match=f"{old}, W/{new}"), 412, "precondition-failed")
    problem(put(api, "a", 3, if_none_match=f'"x", W/{new}'), 412, "precondition-failed")
    problem(
        api.delete("/v1/tasks/t/kv/a", headers={"If-None-Match": new}), 412, "precondition-failed"
    )
    assert put(api, "a", 3, if_none_match=old, if_match=f"{old}, {new}").status_code == 200
    assert api.delete("/v1/tasks/t/kv/a", headers={"If-Match": "*"}).status_code == 204
    problem(api.delete("/v1/tasks/t/kv/a", headers={"If-Match": "*"}), 412, "precondition-failed")


def test_an_entry_whose_etag_the_client_has_is_304(api: Api) -> None:
    tag = put(api, "a", 1).headers["etag"]

    def read(tags: str) -> Any:
        return api.get("/v1/tasks/t/kv/a", headers={"If-None-Match": tags})

    for tags in (tag, f'"x", {tag}', "*", f"W/{tag}"):
        same = read(tags)
        assert (same.status_code, same.content) == (304, b"")
        assert same.headers["etag"] == tag
    put(api, "a", 2)
    assert read(tag).json()["value"] == 2


def test_increments_on_condition_lose_nothing(api: Api) -> None:
    put(api, "n", 0)
    for _ in range(5):
        read = api.get("/v1/tasks/t/kv/n")
        call = {
            "json": {"value": read.json()["value"] + 1},
            "headers": {"If-Match": read.headers["etag"]},
        }
        answers = api.together([("PUT", "/v1/tasks/t/kv/n", call)] * 6)
        assert sorted(a.status_code for a in answers) == [200, *[412] * 5]

    assert api.read("/v1/tasks/t/kv/n")["value"] == 5


def test_an_entry_with_a_ttl_expires(api: Api) -> None:
    api.put("/v1/tasks/t/kv/a", json={"value": 1, "ttl": "1h"})
    kept = api.read("/v1/tasks/t/kv/a")
    api.put("/v1/tasks/t/kv/a", json={"value": 2, "ttl": 0.3})

    assert kept["expires_at"] > kept["updated_at"]
    eventually(lambda: api.get("/v1/tasks/t/kv/a").status_code == 404)
    assert api.items("/v1/tasks/t/kv") == []
    assert put(api, "a", 3).status_code == 201
    assert api.read("/v1/tasks/t/kv/a")["expires_at"] is None


def test_entries_are_listed_by_key_in_pages(api: Api) -> None:
    keys = sorted(["a", "B", "a:1", "a.1", "0", "z", "a-b", "a_b", "a~"])
    for key in keys:
        put(api, key, 1)

    pages = list(walk(api, "/v1/tasks/t/kv?limit=4"))

    assert [len(page) for page in pages] == [4, 4, 1]
    assert [entry["key"] for page in pages for entry in page] == keys


def test_entries_are_selected_by_prefix_and_by_key(api: Api) -> None:
    for key in ("user:1", "user:2", "user_x", "cursor"):
        put(api, key, 1)

    def found(query: str) -> list[str]:
        return [entry["key"] for entry in api.items(f"/v1/tasks/t/kv?{query}")]

    assert found("prefix=user:") == ["user:1", "user:2"]
    assert found("prefix=user_") == ["user_x"]
    assert (
        found("keys=cursor,user:2,none")
        == found("keys=cursor&keys=user:2")
        == [
            "cursor",
            "user:2",
        ]
    )
    assert found("keys=cursor,user:2&prefix=user") == ["user:2"]
    assert api.get("/v1/tasks/t/kv?keys=%00").status_code == 422
    assert api.get("/v1/tasks/t/kv?prefix=%00").status_code == 422


def test_a_run_writes_its_result_and_its_entries_in_one_version(api: Api) -> None:
    run = api.ended(api.run("t"))

    entries = {entry["key"]: entry for entry in api.items("/v1/tasks/t/kv")}

    assert entries.keys() == {"_result", "count"}
    assert entries["_result"]["value"] == entries["count"]["value"] == 1
    for entry in entries.values():
        assert (entry["version"], entry["updated_by"]) == (1, f"run:{run['id']}")
        assert entry["updated_at"] == run["finished_at"]


def test_the_next_run_reads_the_writes_of_a_client(api: Api) -> None:
    put(api, "count", 41)

    assert api.ended(api.run("t"))["result"] == 42


@shares_service
@pytest.mark.parametrize(
    "key", ["_result", "_own", "_", "transaction", "revert", "export", "import"]
)
def test_rotas_own_and_reserved_keys_are_read_only(api: Api, key: str) -> None:
    for refused in (put(api, key, 1), api.delete(f"/v1/tasks/t/kv/{key}")):
        problem(refused, 422, "invalid-key")
    if key != "export":  # which is not an entry, but all of them
        problem(api.get(f"/v1/tasks/t/kv/{key}"), 404, "not-found")


@shares_service
@pytest.mark.parametrize(
    "key", ["%20", "a%20b", "ü", "%00", "a%00", ".a", "-a", "~a", "a" * 256, "a%0A"]
)
def test_invalid_keys_are_refused(api: Api, key: str) -> None:
    for refused in (put(api, key, 1), api.get(f"/v1/tasks/t/kv/{key}")):
        problem(refused, 422, "invalid")
        assert pointers(refused) == ["key"]


def test_the_longest_key_is_accepted(api: Api) -> None:
    assert put(api, "a" * 255, 1).status_code == 201


@shares_service
@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/value"),
        ({"value": 1, "ttl": 0}, "/ttl"),
        ({"value": 1, "ttl": -1}, "/ttl"),
        ({"value": 1, "ttl": "1 week"}, "/ttl"),
        ({"value": 1, "ttl": True}, "/ttl"),
        ({"value": 1, "ttl": "P1M"}, "/ttl"),
        ({"value": 1, "version": 3}, "/version"),
        ([], ""),
    ],
)
def test_invalid_bodies_of_entries_are_refused(api: Api, body: Any, pointer: str) -> None:
    before = api.items("/v1/tasks/t/kv")

    refused = api.put("/v1/tasks/t/kv/a", json=body)

    assert refused.status_code == 422
    assert pointers(refused) == [pointer]
    assert api.items("/v1/tasks/t/kv") == before


def test_a_value_over_the_limit_is_413_with_the_limit(api: Api) -> None:
    accepted = put(api, "a", "x" * (262_144 - 2))
    refused = problem(put(api, "a", "x" * (262_144 - 1)), 413, "too-large")

    assert accepted.status_code == 201
    assert "262144" in refused["detail"]
    assert api.read("/v1/tasks/t/kv/a")["version"] == 1


@pytest.mark.parametrize(
    ("op", "given"),
    [
        ("increment", {}),
        ("append", {"value": 1}),
        ("max", {"value": 1}),
        ("check", {"absent": True}),
    ],
)
def test_an_operation_that_fails_is_named_as_it_was_spelt(
    api: Api, op: str, given: dict[str, Any]
) -> None:
    put(api, "a", {})
    body = {"operations": [{"op": op, "key": "a"} | given]}
    refused = problem(api.post("/v1/tasks/t/kv/transaction", json=body), 409, "operation-failed")

    assert refused["detail"].startswith(f"Operation 0 ({op}) on 'a' is not possible: ")


def test_no_increment_of_two_clients_is_lost(api: Api) -> None:
    _increment_by_two(api, 200)


@torture(Part.HISTORIES)
def test_two_clients_that_increment_one_key_a_thousand_times_each_end_at_two_thousand(
    api: Api,
) -> None:
    _increment_by_two(api, 1_000)


def _increment_by_two(api: Api, times: int) -> None:
    """Have two clients increment one key, each so many times."""
    increment = {"operations": [{"op": "increment", "key": "n"}]}

    async def client() -> None:
        for _ in range(times):
            answer = await api._call("POST", "/v1/tasks/t/kv/transaction", json=increment)
            assert answer.status_code == 200, answer.text

    async def both() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(client)
            group.start_soon(client)

    api.portal.call(both)

    assert api.read("/v1/tasks/t/kv/n")["value"] == 2 * times
