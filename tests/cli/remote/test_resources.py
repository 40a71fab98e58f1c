"""`rota hold`, `queue`, `calendar`, `handler`, `secret` and `key`, for a service."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.api.edge.sockets import listening
from tests.api.service import serving
from tests.cli.remote.command import CommandLine


def test_a_hold_is_set_listed_and_ended(rota: CommandLine) -> None:
    rota.api.task("held-a", tags=["held"])

    said = rota.text("hold", "set", "move", "-l", "tag=held", "--until", "2h", "--reason", "why")
    listed = rota.text("hold", "list")
    shown = rota.text("task", "list", "--tag", "held")
    ended = rota.text("hold", "end", "move")

    assert said.startswith("move (active) holds 1 task until 2")
    assert "tags=held  skip" in listed
    assert "held-a  held" in shown
    assert ended == "The hold move is ended.\n"
    assert rota.json("hold", "list") == []
    assert rota.json("hold", "list", "--ended")[0]["status"] == "ended"
    rota.run("hold", "end", "move", code=4)


def test_a_hold_may_be_planned_in_a_time_zone(rota: CommandLine) -> None:
    hold = rota.json(
        "hold", "set", "night", "-l", "name_prefix=held-", "--from", "2030-07-01T22:00", "--until", "2030-07-02T06:00",
        "--tz", "Europe/Berlin", "--fire-times", "catch_up",
    )  # fmt: skip

    assert (hold["status"], hold["from"]) == ("planned", "2030-07-01T20:00:00.000Z")
    rota.run("hold", "end", "night")
    rota.run("hold", "set", "x", "-l", "status=active", code=2)
    rota.run("hold", "set", "x", "-l", "all", "--until", "some day", code=2)


def test_settings_of_a_queue_that_are_not_given_stay(rota: CommandLine) -> None:
    rota.api.task("queued", queue="mail")

    limited = rota.json("queue", "set", "mail", "--concurrency", "5")
    paused = rota.json("queue", "set", "mail", "--pause")
    shown = rota.text("queue", "show", "mail")
    resumed = rota.json("queue", "set", "mail", "--resume", "--concurrency", "none")

    assert (limited["concurrency"], limited["paused"]) == (5, False)
    assert (paused["concurrency"], paused["paused"]) == (5, True)
    assert "limit    5\n" in shown
    assert (resumed["concurrency"], resumed["paused"]) == (None, False)
    assert "mail" in rota.text("queue", "list")
    rota.run("queue", "set", "mail", code=2)
    rota.run("queue", "set", "mail", "--concurrency", "few", code=2)
    rota.run("queue", "show", "nobody", code=4)


def test_a_calendar_is_set_shown_and_deleted(rota: CommandLine) -> None:
    said = rota.text(
        "calendar", "set", "closed", "--date", "2030-12-24,2030-12-25", "--date", "2031-01-01"
    )

    assert said == "closed is set, version 1. Its next days: 2030-12-24, 2030-12-25, 2031-01-01.\n"
    assert rota.json("calendar", "show", "closed")["dates"] == [
        "2030-12-24",
        "2030-12-25",
        "2031-01-01",
    ]
    assert "closed  dates" in rota.text("calendar", "list")
    assert "next_days  2030-12-24" in rota.text("calendar", "show", "closed")
    rota.run("calendar", "set", "closed", code=2)
    rota.run("calendar", "set", "closed", "--ics", "/does/not/exist", code=2)
    rota.run("calendar", "delete", "closed", code=2)
    rota.run("calendar", "delete", "closed", "--yes")
    rota.run("calendar", "show", "closed", code=4)


def test_handlers_are_listed_and_shown_with_their_inputs(rota: CommandLine) -> None:
    assert "greet" in rota.text("handler", "list")
    assert '"maxLength": 20' in rota.text("handler", "show", "greet")
    assert rota.json("handler", "show", "greet")["timeout"] == 7
    rota.run("handler", "show", "nobody", code=4)


@pytest.fixture(scope="module")
def locked(another_database: Callable[[str], str]) -> Iterator[CommandLine]:
    """A service that needs a key, and stores secrets."""
    key = "an-api-key-that-is-long-enough-for-anything"
    with (
        serving(
            another_database("sqlite"),
            headers={"authorization": f"Bearer {key}"},
            api_key=key,
            encryption_keys="k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        ) as api,
        listening(api) as served,
    ):
        yield CommandLine(api, f"http://127.0.0.1:{served.port}", {"ROTA_KEY": key})


def test_keys_are_made_over_the_api_if_a_service_is_chosen(
    locked: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    made = locked.json(
        "key", "create", "--name", "ci", "--scope", "tasks:read,runs:read", "--expires", "90d"
    )
    own = locked.json("--url", locked.url, "--key", made["key"], "key", "self")
    listed = locked.text("key", "list")
    rotated = locked.run("key", "rotate", made["id"])
    locked.run("key", "revoke", made["id"])

    assert own["scopes"] == ["runs:read", "tasks:read"]
    assert f"{made['id']}  ci    active  " in listed
    assert rotated.stdout.startswith(f"rota_{made['id']}_")
    assert "It is not shown again." in rotated.stderr
    assert locked.json("key", "list") == []
    assert locked.json("key", "list", "--all")[0]["status"] == "revoked"
    locked.run("key", "create", "--name", "x", "--scope", "admin", "--expires", "soon", code=2)
    locked.run("--url", locked.url, "--key", made["key"], "key", "self", code=2)


def test_a_key_in_the_environment_is_not_sent_to_the_service_of_a_context(
    locked: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    locked.run("context", "add", "other", "--url", locked.url)

    refused = locked.run("--context", "other", "task", "list", code=2)

    assert "key" in refused.stderr


def test_secrets_are_set_by_the_standard_input_and_never_shown(
    locked: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    origin = ("--origin", "https://api.example.com")

    locked.run("secret", "set", "crm", *origin, stdin="sk_live_51NxQ8aZ\n")
    locked.run("secret", "set", "crm", *origin, "--task", "sync-*", "--keep-value")
    locked.run("secret", "rotate", "crm", stdin="sk_live_77QbT0cX\n")

    shown = locked.text("secret", "show", "crm") + locked.text("secret", "list")
    assert "https://api.example.com" in shown
    assert "sync-*" in shown
    assert "sk_live" not in shown
    locked.run("secret", "set", "crm", *origin, code=2, stdin="")
    locked.run("secret", "delete", "crm", "--yes")
    locked.run("secret", "show", "crm", code=4)
