"""Lists of what is large, or cannot be read: a page stays small, and one bad row takes no others with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, update

from rota.db import tables
from tests.api.marks import always_on_both
from tests.api.service import Api, pointers, problem, serving
from tests.api.tasks.test_list import walk
from tests.api.test_encryption import OLD

pytestmark = always_on_both

LARGE = ["x" * 20_000]
PAGE = 1_100_000


@contextmanager
def database(url: str) -> Iterator[Connection]:
    """Change rows past the service."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def test_a_list_of_runs_leaves_out_large_values_and_says_so(api: Api) -> None:
    api.task("t")
    small, large = (api.ended(api.run("t", input=each)) for each in ("small", LARGE))

    listed = {run["id"]: run for run in api.items("/v1/runs")}

    assert "truncated" not in listed[small["id"]]
    assert listed[small["id"]]["input"] == listed[small["id"]]["result"] == "small"
    assert listed[large["id"]]["truncated"] is True
    assert listed[large["id"]]["input"] is listed[large["id"]]["result"] is None
    read = api.read(f"/v1/runs/{large['id']}")
    assert read["input"] == read["result"] == LARGE
    assert "truncated" not in read


def test_stored_json_is_returned_as_it_was_sent(api: Api) -> None:
    given = {
        "a": 1e22,
        "b": 5.0,
        "c": [None, True, "\u2028 \x7f é 😀", {}],
        "n": 10**30,
        '"k"': "0" * 32,
    }
    api.task("t", input=given)

    run = api.ended(api.run("t"))

    (listed,) = api.items("/v1/runs")
    assert run["input"] == run["result"] == listed["input"] == listed["result"] == given
    assert isinstance(run["input"]["b"], float)


def test_a_page_of_an_earlier_table_ends_at_a_megabyte_too(api: Api) -> None:
    api.task("t")
    for number in range(12):
        api.put(f"/v1/tasks/t/kv/k{number:02}", json={"value": "y" * 200_000})
        api.put("/v1/tasks/t/kv/often", json={"value": [number, "z" * 200_000]})

    for path in ("kv/often/history?limit=200", "kv?at=24&limit=200"):
        pages = list(walk(api, f"/v1/tasks/t/{path}"))
        assert len(pages) > 1
        assert all(1 <= len(page) <= 7 for page in pages)
        found = [each["version"] for page in pages for each in page]
        assert len(found) == len(set(found)) == (12 if "often" in path else 13)


@pytest.mark.parametrize("path", ["/v1/runs", "/v1/tasks", "/v1/tasks/t00/kv"])
def test_a_page_ends_at_a_megabyte_and_the_next_one_continues(api: Api, path: str) -> None:
    body = ["y" * (15_000 if path == "/v1/runs" else 200_000)]
    number = 100 if path == "/v1/runs" else 12
    if path == "/v1/tasks":
        for each in range(number):
            api.task(f"t{each:02}", input=body)
    else:
        api.task("t00", handler="count")
    if path == "/v1/runs":
        later = "2999-01-01T00:00:00Z"
        for _ in range(number):
            api.run("t00", input=body, scheduled_for=later)
    elif path.endswith("kv"):
        for each in range(number):
            api.put(f"{path}/k{each:02}", json={"value": body})

    first = api.get(f"{path}?limit=200")
    items = [item for page in walk(api, f"{path}?limit=200") for item in page]

    assert len(first.content) < PAGE + 200_000
    assert 1 < len(first.json()["items"]) < number
    found = [item.get("id") or item["key"] for item in items]
    assert len(found) == len(set(found)) == number


def test_an_unreadable_row_is_marked_and_does_not_affect_others(
    api: Api, migrated_database_url: str
) -> None:
    api.task("t", handler="count")
    api.put("/v1/tasks/t/kv/bad", json={"value": 1})
    api.put("/v1/tasks/t/kv/good", json={"value": 2})
    good, bad = (api.ended(api.run("t")) for _ in range(2))
    with database(migrated_database_url) as connection:
        broken: dict[str, Any] = {
            "result": "NOT JSON",
            "error": "{",
            "progress": "[1",
            "waiting_on": "}",
        }
        this = tables.run.c.id == bad["id"]
        assert connection.execute(update(tables.run).where(this).values(**broken)).rowcount == 1
        entry = tables.kv.c.key == "bad"
        assert (
            connection.execute(update(tables.kv).where(entry).values(value=b"\xff")).rowcount == 1
        )

    listed = {run["id"]: run for run in api.items("/v1/tasks/t/runs")}
    assert listed[good["id"]]["result"] == good["result"]
    for shown in (listed[bad["id"]], api.read(f"/v1/runs/{bad['id']}")):
        assert (shown["result"], shown["unreadable"]) == (None, ["result"])
        assert shown["error"]["type"] == "unreadable"
        assert (shown["progress"], shown["waiting_on"]) == (None, [])
    entries = {entry["key"]: entry for entry in api.items("/v1/tasks/t/kv")}
    assert (entries["bad"]["value"], entries["bad"]["unreadable"]) == (None, ["value"])
    assert (entries["good"]["value"], "unreadable" in entries["good"]) == (2, False)
    exported = api.get("/v1/tasks/t/kv/export")
    assert exported.status_code == 200
    assert exported.text.count('"unreadable":["value"]') == 1


def test_a_task_with_an_unreadable_input_does_not_affect_others(
    api: Api, migrated_database_url: str
) -> None:
    api.task("bad", input={"a": 1})
    api.task("good", input={"a": 2})
    with database(migrated_database_url) as connection:
        this = tables.task.c.name == "bad"
        assert connection.execute(update(tables.task).where(this).values(input="{")).rowcount == 1

    bad, good = api.items("/v1/tasks")

    assert (bad["input"], bad["unreadable"]) == (None, ["input"])
    assert (good["input"], "unreadable" in good) == ({"a": 2}, False)
    patched = api.patch("/v1/tasks/bad", json={"description": "d"})
    assert patched.status_code == 200, patched.text
    assert api.put("/v1/tasks/bad", json=bad).status_code == 200  # a read task can be put back
    assert api.task("bad", input={"a": 3})["input"] == {"a": 3}


def test_a_value_that_cannot_be_decrypted_does_not_affect_others(
    migrated_database_url: str,
) -> None:
    with serving(migrated_database_url, encryption_keys=(OLD,)) as api:
        api.task("t")
        for key in ("bad", "good"):
            api.put(f"/v1/tasks/t/kv/{key}", json={"value": key})
        with database(migrated_database_url) as connection:
            entry = tables.kv.c.key == "bad"
            connection.execute(
                update(tables.kv).where(entry).values(value=b"nothing sealed at all")
            )

        entries = {entry["key"]: entry for entry in api.items("/v1/tasks/t/kv")}
        exported = api.get("/v1/tasks/t/kv/export").content

        assert (entries["bad"]["value"], entries["bad"]["unreadable"]) == (None, ["value"])
        assert entries["good"]["value"] == "good"
        problem(api.get("/v1/tasks/t/kv/bad"), 503, "sealed")
        (version,) = api.items("/v1/tasks/t/kv/bad/history")
        then = {each["key"]: each for each in api.items("/v1/tasks/t/kv?at=2")}
        for shown in (version, then["bad"]):
            assert (shown["value"], shown["unreadable"]) == (None, ["value"])
        assert then["good"]["value"] == "good"
        # An export marks unreadable values, and an import does not accept the marks as values.
        assert b'"unreadable":["value"]' in exported
        headers = {"content-type": "application/x-ndjson"}
        refused = api.post("/v1/tasks/t/kv/import", content=exported, headers=headers)
        problem(refused, 422, "invalid")
        assert pointers(refused) == ["/1/unreadable"]
