"""Encryption at rest over HTTP: clients see no difference, the database and the logs see no plain text."""

import logging
import sqlite3
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from rota.errors import Sealed
from tests.api.marks import on_both
from tests.api.service import Api, pointers, problem, serving

SECRET = "hunter2-and-more"
OLD = f"k1:{b64encode(bytes(range(32))).decode()}"
NEW = f"k2:{b64encode(bytes(range(32, 64))).decode()}"
SQLITE = pytest.mark.parametrize("database_engine", ["sqlite"], indirect=True)


def fill(api: Api) -> None:
    """Write secrets in every way there is."""
    api.task("t", handler="count", kv={"seeded": SECRET})
    api.put("/v1/tasks/t/kv/a", json={"value": {"token": SECRET}})
    api.put("/v1/tasks/t/kv/b", content=SECRET, headers={"content-type": "text/plain"})
    api.put("/v1/tasks/t/kv/a", json={"value": [SECRET]})
    wrong = [{"op": "increment", "key": "a"}, {"op": "check", "key": "seeded", "value": 1}]
    for operation in wrong:
        api.post("/v1/tasks/t/kv/transaction", json={"operations": [operation]})
    api.task("s", handler="echo", secret_input=True, input={"token": SECRET})


@on_both
def test_clients_see_no_difference(migrated_database_url: str) -> None:
    with serving(migrated_database_url, encryption_keys=(OLD,)) as api:
        fill(api)
        api.ended(api.run("t"))

        assert api.read("/v1/tasks/t/kv/a")["value"] == [SECRET]
        assert api.get("/v1/tasks/t/kv/b").text == SECRET
        assert api.read("/v1/tasks/t/kv/seeded")["value"] == SECRET
        history = api.items("/v1/tasks/t/kv/a/history")
        assert [each["value"] for each in history] == [[SECRET], {"token": SECRET}]


@SQLITE
def test_no_plain_text_gets_into_the_database_or_the_log(
    migrated_database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.DEBUG),
        serving(migrated_database_url, encryption_keys=(OLD,)) as api,
    ):
        fill(api)
        api.put("/v1/tasks/s", json={"handler": "echo", "secret_input": True, "schedule": 1})
        files = b"".join(path.read_bytes() for path in tmp_path.glob("rota.db*"))

    assert b"seeded" in files
    assert SECRET.encode() not in files
    assert SECRET not in caplog.text
    assert "k1:" not in caplog.text


@on_both
def test_the_service_does_not_start_without_a_key_that_is_in_use(
    migrated_database_url: str,
) -> None:
    with serving(migrated_database_url, encryption_keys=(OLD,)) as api:
        api.task("t")
        api.put("/v1/tasks/t/kv/a", json={"value": SECRET})

    for keys in ((), (NEW,)):
        with (
            pytest.raises(Sealed, match=r"'k1'.*ROTA_ENCRYPTION_KEYS"),
            serving(migrated_database_url, encryption_keys=keys),
        ):
            pass
    with serving(migrated_database_url, encryption_keys=(NEW, OLD)) as api:
        assert api.read("/v1/tasks/t/kv/a")["value"] == SECRET


@SQLITE
def test_a_row_that_was_changed_past_the_service_is_recognised(
    migrated_database_url: str, tmp_path: Path
) -> None:
    with serving(migrated_database_url, encryption_keys=(OLD,)) as api:
        api.task("t")
        api.put("/v1/tasks/t/kv/a", json={"value": SECRET})
        api.put("/v1/tasks/t/kv/b", json={"value": 1})
    with sqlite3.connect(tmp_path / "rota.db") as connection:
        connection.execute("UPDATE kv SET value = zeroblob(40) WHERE key = 'a'")
    connection.close()

    with serving(migrated_database_url, encryption_keys=(OLD,)) as api:
        problem(api.get("/v1/tasks/t/kv/a"), 503, "sealed")
        assert api.read("/v1/tasks/t/kv/b")["value"] == 1
        assert api.put("/v1/tasks/t/kv/a", json={"value": 2}).status_code == 200
        assert api.read("/v1/tasks/t/kv/a")["value"] == 2


def secret(api: Api, **fields: Any) -> dict[str, Any]:
    return api.task("s", handler="echo", **{"secret_input": True} | fields)


@on_both
def test_a_secret_input_is_passed_to_the_handler_and_never_shown(
    migrated_database_url: str,
) -> None:
    with serving(migrated_database_url, encryption_keys=(OLD,)) as api:
        task = secret(api, input={"token": SECRET})
        ended = [
            api.ended(api.run("s")),
            api.ended(api.run("s", input={"token": SECRET[::-1]})),
        ]

        assert (task["input"], task["secret_input"]) == (None, True)
        assert [(run["input"], run["secret_input"]) for run in ended] == [(None, True)] * 2
        assert [run["result"] for run in ended] == [{"token": SECRET}, {"token": SECRET[::-1]}]
        again = api.ended(api.post(f"/v1/runs/{ended[0]['id']}/rerun").json())
        assert (again["input"], again["result"]) == (None, {"token": SECRET})


@on_both
def test_a_read_task_can_be_put_back_and_keeps_its_secret(migrated_database_url: str) -> None:
    with serving(migrated_database_url, encryption_keys=(OLD,)) as api:
        task = secret(api, input={"token": SECRET})

        same = api.put("/v1/tasks/s", json=task).json()
        omitted = {name: value for name, value in task.items() if name != "input"}
        also = api.put("/v1/tasks/s", json=omitted | {"description": "d"}).json()
        given = api.put("/v1/tasks/s", json=omitted | {"input": {"token": SECRET}}).json()
        api.patch("/v1/tasks/s", json={"priority": 3})

        assert (same["outcome"], also["outcome"]) == ("unchanged", "updated")
        assert given["generation"] == also["generation"] + 1  # the description is gone again
        assert api.ended(api.run("s"))["result"] == {"token": SECRET}


@on_both
def test_another_secret_replaces_the_present_one(migrated_database_url: str) -> None:
    with serving(migrated_database_url, encryption_keys=(OLD,)) as api:
        secret(api, input={"token": SECRET})

        changed = api.put(
            "/v1/tasks/s",
            json={
                "handler": "echo",
                "schedule": {"type": "manual"},
                "secret_input": True,
                "input": {"token": "other"},
            },
        ).json()

        assert (changed["outcome"], changed["input"]) == ("updated", None)
        assert api.ended(api.run("s"))["result"] == {"token": "other"}


@on_both
def test_removing_the_mark_does_not_reveal_a_secret(
    migrated_database_url: str,
) -> None:
    with serving(migrated_database_url, encryption_keys=(OLD,)) as api:
        secret(api, input={"token": SECRET})
        run = api.ended(api.run("s"))

        api.patch("/v1/tasks/s", json={"secret_input": False})

        assert api.read("/v1/tasks/s")["input"] is None
        assert api.read(f"/v1/runs/{run['id']}")["input"] is None
        assert api.ended(api.run("s"))["input"] is None


def test_without_a_key_no_input_is_secret(migrated_database_url: str) -> None:
    with serving(migrated_database_url) as api:
        body = {"handler": "echo", "schedule": {"type": "manual"}, "secret_input": True}

        answer = api.put("/v1/tasks/s", json=body)

        problem(answer, 422, "invalid")
        assert pointers(answer) == ["/secret_input"]
        assert "ROTA_ENCRYPTION_KEYS" in answer.text


@on_both
def test_a_run_whose_input_cannot_be_decrypted_fails_and_blocks_no_other(
    migrated_database_url: str,
) -> None:
    with serving(migrated_database_url, encryption_keys=(OLD,)) as api:
        secret(api, input={"token": SECRET}, retry={"max_attempts": 1})
    with serving(migrated_database_url, encryption_keys=(NEW,)) as api:
        api.task("t")
        closed, other = api.run("s"), api.run("t")

        ended = api.ended(closed)

        assert (ended["status"], ended["error"]["type"]) == ("failed", "sealed")
        assert "ROTA_ENCRYPTION_KEYS" in ended["error"]["message"]
        assert api.ended(other)["status"] == "succeeded"
        assert api.read("/v1/tasks/s")["input"] is None
        assert api.delete("/v1/tasks/s").status_code == 204


@pytest.mark.parametrize(
    ("setting", "key"),
    [({"max_key_length": 3}, "abcd"), ({"kv_key_pattern": "[a-c]+"}, "abcd")],
)
def test_settings_can_restrict_the_keys_of_entries(
    migrated_database_url: str, setting: dict[str, Any], key: str
) -> None:
    with serving(migrated_database_url) as api:
        api.task("t")
        api.put(f"/v1/tasks/t/kv/{key}", json={"value": 1})
    with serving(migrated_database_url, **setting) as api:
        one = {"operations": [{"op": "set", "key": key, "value": 1}]}
        line = b'{"key":"abcd","value":1}'
        ndjson = {"content-type": "application/x-ndjson"}
        answers = [
            api.put(f"/v1/tasks/t/kv/{key}", json={"value": 2}),
            api.post("/v1/tasks/t/kv/transaction", json=one),
            api.post("/v1/tasks/t/kv/import", content=line, headers=ndjson),
        ]

        for answer in answers:
            problem(answer, 422, "invalid-key")
            assert f"ROTA_{next(iter(setting)).upper()}" in answer.text
        assert api.put("/v1/tasks/t/kv/abc", json={"value": 1}).status_code == 201
        assert api.read(f"/v1/tasks/t/kv/{key}")["value"] == 1
        assert api.delete(f"/v1/tasks/t/kv/{key}").status_code == 204
