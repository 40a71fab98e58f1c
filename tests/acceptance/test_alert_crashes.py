"""`kill -9` at random moments: each edge of an alert notifies once, or is tried until it has; none is lost."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.acceptance import ordeals
from tests.acceptance.server import Server
from tests.support.factories import eventually
from tests.support.torture import Part, torture

Serve = Callable[..., Server]


@dataclass(frozen=True)
class Ordeal:
    """How many tasks run how often, and how often the service is killed meanwhile."""

    tasks: int
    runs: int
    kills: int
    #: How many of the notifications are refused at first: these are tried again after a minute or more.
    refused: float = 0


SHORT = Ordeal(tasks=3, runs=12, kills=2)
LONG = Ordeal(tasks=6, runs=40, kills=12, refused=0.1)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_kills_lose_and_repeat_no_notification(serve: Serve) -> None:
    torment_and_check(serve(lease_ttl=1), SHORT)


@torture(Part.KILLS)
@pytest.mark.timeout(1200)
def test_many_kills_lose_and_repeat_no_notification(serve: Serve) -> None:
    torment_and_check(serve(lease_ttl=1), LONG)


def torment_and_check(rota: Server, ordeal: Ordeal) -> None:
    seed = ordeals.seed()
    dice = random.Random(seed)
    rota.start()
    names = [f"t{number}" for number in range(ordeal.tasks)]
    register(rota, names, ordeal, dice)
    ordeals.kill_often(rota, ordeal.kills, dice)
    total = ordeal.tasks * ordeal.runs
    eventually(lambda: len(ended(rota)) == total, "runs are left", within=300)
    # One that was refused, or lost with its process three times, is tried again after a minute.
    eventually(lambda: not pending(rota, names), "notifications are left", within=600)
    check(rota, names)


def register(rota: Server, names: list[str], ordeal: Ordeal, dice: random.Random) -> None:
    manual = {"schedule": {"type": "manual"}, "retention": {"runs": 10_000}}
    notifier = {
        "handler": "note-event",
        **manual,
        "input": {"refuse": ordeal.refused},
        "retry": {"max_attempts": 1},
    }
    rota.call("PUT", "/v1/tasks/ops", json=notifier)
    watched = {
        "handler": "fail-if",
        "input": False,
        **manual,
        "retry": {"max_attempts": 1},
        "overlap_policy": "buffer",
        "on_failure": {"task": "ops"},
        "on_success": {"task": "ops"},
    }
    for name in names:
        rota.call("PUT", f"/v1/tasks/{name}", json=watched)
    rota.call("PUT", "/v1/queues/default", json={"paused": True})
    for _ in range(ordeal.runs):
        for name in names:
            rota.call("POST", f"/v1/tasks/{name}/run", json={"input": dice.random() < 0.5})
    # So few at once that runs and notifications are under way at each kill.
    rota.call("PUT", "/v1/queues/default", json={"concurrency": 2})


def ended(rota: Server) -> list[dict[str, Any]]:
    """Return the runs that have ended, apart from those of notifications, in the order of their tasks' lines."""
    runs = rota.items("/v1/runs?status=succeeded,failed&trigger=manual")
    return sorted(runs, key=lambda run: run["id"])


def notifications(rota: Server, name: str) -> list[dict[str, Any]]:
    return rota.items(f"/v1/tasks/{name}/alerts")


def pending(rota: Server, names: list[str]) -> bool:
    return any(each["sent_at"] is None for name in names for each in notifications(rota, name))


def edges(runs: list[dict[str, Any]]) -> list[str]:
    """Return what the ends of a task's runs are to notify of."""
    found, failing = [], False
    for run in runs:
        failed = run["status"] == "failed"
        if failed != failing:
            found.append(f"alert.{'failing' if failed else 'recovered'} {run['id']}")
        if not failed:
            found.append(f"alert.succeeded {run['id']}")
        failing = failed
    return sorted(found)


def check(rota: Server, names: list[str]) -> None:
    runs = ended(rota)
    expected: list[str] = []
    for name in names:
        of_task = edges([run for run in runs if run["task"] == name])
        told = [
            f"{each['event']['type']} {each['event']['data']['run']['id']}"
            for each in notifications(rota, name)
        ]
        assert sorted(told) == of_task
        expected += of_task
    # What a notifier has kept in Rota took effect once, however often it was started.
    noted = rota.call("GET", "/v1/tasks/ops/kv/events")["value"]
    assert sorted(noted) == sorted(expected)
    raised = {each["task"] for each in rota.items("/v1/alerts")}
    last = {run["task"]: run["status"] for run in runs}
    assert raised == {name for name, status in last.items() if status == "failed"}
