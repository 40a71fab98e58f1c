"""Key-value tables as lines of JSON: out of one task, into another."""

import json
from typing import Any

import pytest

from tests.api.marks import on_both, shares_service
from tests.api.service import Api, pointers, problem, serving

pytestmark = on_both
KV = "/v1/tasks/t/kv"
NDJSON = {"Content-Type": "application/x-ndjson"}
SOON = "2100-01-01T00:00:00.000Z"
VALUES: list[Any] = [None, False, 5.0, 1e22, 2**53 + 1, 'ünï 🎉 \\ " \n', [], {"a": [1]}]


@pytest.fixture
def api(api: Api) -> Api:
    api.task("t", handler="count")
    return api


def put(api: Api, key: str, value: Any) -> None:
    assert api.put(f"{KV}/{key}", json={"value": value}).status_code in {200, 201}


def lines(api: Api, query: str = "") -> list[dict[str, Any]]:
    answer = api.get(f"{KV}/export{query}")
    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] == "application/x-ndjson"
    assert answer.text == "" or answer.text.endswith("\n")
    return [json.loads(line) for line in answer.text.splitlines()]


def take(api: Api, *given: Any, name: str = "t", mode: str = "merge") -> Any:
    body = b"\n".join(
        each if isinstance(each, bytes) else json.dumps(each).encode() for each in given
    )
    return api.post(f"/v1/tasks/{name}/kv/import?mode={mode}", content=body, headers=NDJSON)


def entries(api: Api, name: str = "t") -> dict[str, Any]:
    found = api.items(f"/v1/tasks/{name}/kv?limit=200")
    return {each["key"]: each["value"] for each in found if each["key"] != "_result"}


def test_byte_order_marks_before_lines_are_skipped(api: Api) -> None:
    # As of two files that an editor has written, put together.
    marked = [b'\xef\xbb\xbf{"key": "a", "value": 1}', b'\xef\xbb\xbf{"key": "b", "value": 2}']

    accepted = take(api, *marked, b"\xef\xbb\xbf")

    assert accepted.status_code == 200, accepted.text
    assert entries(api) == {"a": 1, "b": 2}


def test_entries_are_exported_by_key_one_per_line(api: Api) -> None:
    put(api, "b", {"n": 5.0})
    api.put(f"{KV}/a", content=b"\x00\xff", headers={"Content-Type": "image/png"})
    api.ended(api.run("t"))

    assert lines(api) == [
        {
            "key": "a",
            "value": "AP8=",
            "encoding": "base64",
            "content_type": "image/png",
            "expires_at": None,
            "version": 2,
        },
        {"key": "b", "value": {"n": 5.0}, "expires_at": None, "version": 1},
        {"key": "count", "value": 1, "expires_at": None, "version": 3},
    ]
    assert [each["key"] for each in lines(api, "?prefix=b")] == ["b"]


def test_an_export_can_be_imported_into_another_task(api: Api) -> None:
    for number, value in enumerate(VALUES):
        put(api, f"k{number}", value)
    api.put(f"{KV}/bytes", content=b"\x00\n\xff", headers={"Content-Type": "image/png"})
    api.put(f"{KV}/short", json={"value": 1, "ttl": "1h"})
    for number in range(50):
        put(api, f"more:{number}", number)
    api.task("other")
    exported = api.get(f"{KV}/export").content

    answer = api.post("/v1/tasks/other/kv/import", content=exported, headers=NDJSON)

    assert answer.json() == {"set": 60, "unchanged": 0, "expired": 0, "deleted": 0}
    assert entries(api, "other") == entries(api)
    there = api.get("/v1/tasks/other/kv/export").text.splitlines()
    again = [json.loads(line) | {"version": 1} for line in exported.decode().splitlines()]
    assert [json.loads(line) for line in there] == again
    repeated = api.post("/v1/tasks/other/kv/import", content=exported, headers=NDJSON)
    assert repeated.json() == {"set": 0, "unchanged": 60, "expired": 0, "deleted": 0}


def test_the_items_of_a_list_can_be_imported(api: Api) -> None:
    put(api, "a", 1)
    items = api.items(KV)
    api.task("other")

    assert take(api, *items, name="other").json()["set"] == 1


def test_the_export_of_an_empty_table_is_empty(api: Api) -> None:
    assert lines(api) == []
    assert take(api, b"").json() == {"set": 0, "unchanged": 0, "expired": 0, "deleted": 0}


def test_an_import_leaves_the_others_or_replaces_them(api: Api) -> None:
    put(api, "a", 1)
    put(api, "b", 1)
    api.ended(api.run("t"))

    merged = take(api, {"key": "b", "value": 2}, b"  ", {"key": "c", "value": 2}).json()
    after = entries(api)
    replaced = take(api, {"key": "c", "value": 3}, mode="replace").json()

    assert merged == {"set": 2, "unchanged": 0, "expired": 0, "deleted": 0}
    assert after == {"a": 1, "b": 2, "c": 2, "count": 1}
    assert replaced == {"set": 1, "unchanged": 0, "expired": 0, "deleted": 3}
    assert entries(api) == {"c": 3}
    assert api.read(f"{KV}/_result")["value"] == 1


def test_imported_entries_expire_at_their_time_and_expired_ones_are_left_out(api: Api) -> None:
    put(api, "past", "here")

    made = take(
        api,
        {"key": "soon", "value": 1, "expires_at": SOON},
        {"key": "past", "value": 1, "expires_at": "2020-01-01T00:00:00Z"},
    )

    assert made.json() == {"set": 1, "unchanged": 0, "expired": 1, "deleted": 0}
    assert api.read(f"{KV}/soon")["expires_at"] == SOON
    assert entries(api) == {"past": "here", "soon": 1}


@shares_service
@pytest.mark.parametrize(
    ("line", "pointer"),
    [
        ({"value": 1}, "/2/key"),
        ({"key": "k"}, "/2/value"),
        ({"key": 1, "value": 1}, "/2/key"),
        ({"key": "_result", "value": 1}, "/2/key"),
        ({"key": "export", "value": 1}, "/2/key"),
        ({"key": "ü", "value": 1}, "/2/key"),
        ({"key": "first", "value": 1}, "/2/key"),
        ({"key": "k", "value": "x" * 262_143}, "/2/value"),
        ({"key": "k", "value": 1, "ttl": 1}, "/2/ttl"),
        ({"key": "k", "value": 1, "expires_at": "soon"}, "/2/expires_at"),
        ({"key": "k", "value": "eA==", "encoding": "base32"}, "/2/encoding"),
        ({"key": "k", "value": "eA==", "encoding": "base64"}, "/2/content_type"),
        ({"key": "k", "value": "eA==", "content_type": "text/plain"}, "/2/encoding"),
        ({"key": "k", "value": "?", "encoding": "base64", "content_type": "a/b"}, "/2/value"),
        ({"key": "k", "value": 7, "encoding": "base64", "content_type": "a/b"}, "/2/value"),
        ({"key": "k", "value": "", "encoding": "base64", "content_type": "x"}, "/2/value"),
        ({"key": "_kv_version", "value": True}, "/2/value"),
        (b'{"key": "k", "value": {"a": 1, "a": 2}}', "/2/value/a"),
        (b'{"key": "k", "value": "\\u0000"}', "/2/value"),
        (b"[]", "/2"),
        (b"{", "/2"),
        (b"\xff", "/2"),
        (b"NaN", "/2"),
    ],
)
def test_an_error_of_a_line_points_at_it_and_nothing_is_imported(
    api: Api, line: Any, pointer: str
) -> None:
    refused = take(api, {"key": "first", "value": 1}, line, {"key": "last", "value": 1})

    assert refused.status_code in {400, 413, 422}
    assert pointers(refused) == [pointer]
    assert refused.json()["detail"].startswith("Line 2: ")
    assert entries(api) == {}


def test_an_error_of_a_value_that_does_not_fit_the_schema_points_at_its_line(api: Api) -> None:
    api.task("t", handler="count", kv_schema={"n:*": {"type": "integer"}})

    refused = take(api, {"key": "a", "value": "x"}, {"key": "n:1", "value": "x"}, mode="replace")

    problem(refused, 422, "kv-schema")
    assert pointers(refused) == ["/2/value"]
    assert entries(api) == {}


def test_more_entries_than_allowed_are_not_imported(migrated_database_url: str) -> None:
    with serving(migrated_database_url, max_kv_entries=3, max_kv_bytes=1_024) as small:
        small.task("t", handler="count")
        put(small, "a", 1)

        many = [{"key": f"k{number}", "value": 1} for number in range(4)]
        problem(take(small, *many, mode="replace"), 409, "kv-full")
        problem(take(small, *many[:3]), 409, "kv-full")
        large = [{"key": key, "value": "x" * 600} for key in "lm"]
        problem(take(small, *large), 409, "kv-full")
        problem(take(small, {"key": "l", "value": "x" * 1_024}), 413, "too-large")

        assert entries(small) == {"a": 1}
        assert take(small, *many[:3], mode="replace").status_code == 200


def test_an_import_is_lines_of_json_and_not_more_than_sixteen_mebibytes(api: Api) -> None:
    for headers in ({}, {"Content-Type": "application/json"}, {"Content-Type": "text/csv"}):
        refused = api.post(f"{KV}/import", content=b"{}", headers=headers)
        problem(refused, 415, "unsupported-media-type")
    large = api.post(f"{KV}/import", content=b" " * (16 * 1_048_576 + 1), headers=NDJSON)
    problem(large, 413, "too-large")
    problem(take(api, mode="add"), 422, "invalid")


def test_lines_can_be_sent_as_plain_text(api: Api) -> None:
    headers = {"Content-Type": "text/plain; charset=utf-8"}

    accepted = api.post(f"{KV}/import", content=b'{"key": "a", "value": 1}\n', headers=headers)

    assert accepted.status_code == 200, accepted.text
    assert entries(api) == {"a": 1}


def test_export_and_import_of_an_unknown_task_are_404(api: Api) -> None:
    problem(api.get("/v1/tasks/none/kv/export"), 404, "not-found")
    problem(take(api, {"key": "a", "value": 1}, name="none"), 404, "not-found")


def test_a_large_table_is_exported_whole_while_it_is_written_to(api: Api) -> None:
    for number in range(60):
        put(api, f"k{number:02}", "x" * 100_000)

    calls: list[tuple[str, str, dict[str, Any]]] = [("GET", f"{KV}/export", {})]
    calls += [("DELETE", f"{KV}/k{number:02}", {}) for number in range(60)]
    exported, *_ = api.together(calls)

    keys = [json.loads(line)["key"] for line in exported.text.splitlines()]
    assert keys == [f"k{number:02}" for number in range(60 - len(keys), 60)]
    assert int(exported.headers["content-length"]) == len(exported.content)
