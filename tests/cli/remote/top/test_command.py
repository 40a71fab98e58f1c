"""`rota top` printed once: in a pipe, as JSON, with options, keys and services that refuse."""

import json
from collections.abc import Callable, Iterator

import pytest

from tests.api import handlers
from tests.api.edge.sockets import listening
from tests.api.service import serving
from tests.cli.remote.command import CommandLine

MEMBERS = {
    *("ready", "replicas", "running", "waiting", "failed"),
    *("upcoming", "queues", "alerts", "holds"),
}


def test_a_pipe_gets_everything_once(rota: CommandLine) -> None:
    name = "once-" + "n" * 100
    rota.api.task(name, handler="hold")
    rota.api.task("once-broken", handler="refuse")
    rota.api.run(name)
    rota.api.ended(rota.api.run("once-broken"))
    handlers.wait_entered(name)

    shown = rota.text("top")

    lines = shown.splitlines()
    assert lines[0].startswith(f"rota top {rota.url}  ")
    assert lines[1] == "ready, 1 replica"
    assert any(line.startswith(f"{name}  ") for line in lines)
    assert any(
        line.startswith("once-broken") and "fail: no such customer" in line for line in lines
    )
    assert not any(line != line.rstrip() for line in lines)


def test_json_is_what_the_service_answered(rota: CommandLine) -> None:
    rota.api.task("as-json", handler="hold")
    run = rota.api.run("as-json")
    handlers.wait_entered("as-json")

    found = rota.json("top")

    assert found.keys() == MEMBERS
    assert found["ready"]["status"] == "ok"
    assert run["id"] in [each["id"] for each in found["running"]["items"]]
    assert found["running"]["total"] >= 1


def test_tags_choose_runs_and_fire_times(rota: CommandLine) -> None:
    for name in ("tagged", "other"):
        yearly = {"type": "interval", "every": "1h"}
        rota.api.task(f"{name}-due", tags=[name], schedule=yearly)
        rota.api.task(name, handler="hold", tags=[name])
        rota.api.run(name)
        handlers.wait_entered(name)

    found = rota.json("top", "--tag", "tagged,nobody", "--tag", "none")

    assert [each["task"] for each in found["running"]["items"]] == ["tagged"]
    assert {each["task"] for each in found["upcoming"]["items"]} == {"tagged-due"}
    assert " tag=tagged  " in rota.text("top", "--tag", "tagged").splitlines()[0]


@pytest.mark.parametrize("interval", ["0", "0.4", "3601", "nan", "-1", "x"])
def test_an_interval_that_is_too_short_or_too_long_is_refused(
    rota: CommandLine, interval: str
) -> None:
    assert "--interval" in rota.run("top", "--once", f"--interval={interval}", code=2).stderr


def test_without_a_service_printing_once_ends_as_other_commands_do(rota: CommandLine) -> None:
    ended = rota.run("--url", "http://127.0.0.1:9", "top", "--once", code=3)

    assert "No answer from http://127.0.0.1:9" in ended.stderr


@pytest.fixture
def keys(
    another_database: Callable[[str], str], rota: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CommandLine]:
    """The command line for a service that needs keys, with one that may do anything."""
    monkeypatch.delenv("ROTA_KEY", raising=False)
    del rota
    admin = "a" * 40
    with (
        serving(
            another_database("sqlite"),
            api_key=admin,
            headers={"Authorization": f"Bearer {admin}"},
        ) as api,
        listening(api) as served,
    ):
        yield CommandLine(api, f"http://127.0.0.1:{served.port}", {"ROTA_KEY": admin})


def test_a_key_that_may_not_read_runs_sees_the_rest(keys: CommandLine) -> None:
    keys.api.task("seen", schedule={"type": "interval", "every": "1h"})
    made = keys.api.post("/v1/keys", json={"name": "some", "scopes": ["tasks:read"]}).json()

    shown = keys.text("--key", made["key"], "top").splitlines()

    assert shown[1] == "ready"
    assert "RUNNING not with this key" in shown
    assert any(line.startswith("seen ") for line in shown)


def test_a_wrong_key_is_refused(keys: CommandLine) -> None:
    ended = keys.run("--key", "b" * 40, "top", "--json", code=2)

    assert "--key" in ended.stderr
    assert json.loads(keys.text("top", "--json"))["ready"]["status"] == "ok"
