"""`kill -9` at random moments: what was accepted is there, each fire time has one fate, each run one effect."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.acceptance import ordeals
from tests.acceptance.launching import Installed
from tests.acceptance.server import PATIENCE, Server
from tests.support.databases import ENGINES
from tests.support.factories import eventually
from tests.support.torture import Part, torture

FINAL = {"succeeded", "failed", "cancelled", "skipped"}
KEEP = {"retention": {"runs": 100_000}}
SECOND = timedelta(seconds=1)
HANDLERS = ["count", "count-slowly", "count-in-thread"]

Serve = Callable[..., Server]


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("database_engine", ENGINES, indirect=True)
def test_kills_lose_and_repeat_nothing(serve: Serve) -> None:
    ordeal(serve(lease_ttl=1), kills=4)


@torture(Part.KILLS)
@pytest.mark.timeout(1_800)
def test_many_kills_lose_and_repeat_nothing(serve: Serve, installed: Installed) -> None:
    ordeal(serve(installed, lease_ttl=1), kills=100)


def ordeal(server: Server, kills: int) -> None:
    seed = ordeals.seed()
    dice = random.Random(seed)
    server.start()
    tasks = {name: register(server, name, **fields) for name, fields in crowd(dice).items()}
    register(server, "manual", handler="count", schedule={"type": "manual"}, **ALLOW)
    client = Client(server, random.Random(seed + 1))
    with client.working():
        for number in range(kills):
            die(server, dice, starting=number % 4 == 3)
            if number % 7 == 2:
                wait(dice.uniform(2, 3))  # long enough for a misfire
        server.start()
    cutoff = settle(server, [*tasks, *client.tasks, "manual"])
    check_fates(server, tasks | client.tasks, cutoff)
    check_effects(server, [*tasks, *client.tasks, "manual"])
    check_manual(server, client.requested)
    check_there_was_an_ordeal(server)


ALLOW = {"overlap_policy": "allow"}


def crowd(dice: random.Random) -> dict[str, dict[str, Any]]:
    """Return 100 tasks, all of them due within five seconds."""
    made: dict[str, dict[str, Any]] = {}
    for number in range(50):
        made[f"once-{number}"] = {"type": "once", "delay": round(dice.uniform(0, 5), 3)}
    for number in range(30):
        made[f"every-{number}"] = {"type": "interval", "every": round(dice.uniform(1, 3), 3)}
    for number in range(20):
        step = dice.choice([2, 3, 5])
        made[f"cron-{number}"] = {"type": "cron", "expression": f"*/{step} * * * * *"}
    tasks = {
        name: {
            "schedule": schedule,
            "handler": dice.choice(HANDLERS),
            "overlap_policy": dice.choice(["skip", "allow"]),
        }
        for name, schedule in made.items()
    }
    tasks["cron-0"]["handler"] = "count-in-process"
    return tasks


def register(server: Server, name: str, **fields: Any) -> dict[str, Any]:
    """Register a task; return it as it was accepted."""
    accepted: dict[str, Any] = server.call("PUT", f"/v1/tasks/{name}", json=KEEP | fields)
    return accepted


def die(server: Server, dice: random.Random, *, starting: bool) -> None:
    """Let the service run for a while, and kill it; sometimes while it starts."""
    if starting:
        server.spawn()
    elif not server.is_running:
        server.start()
    wait(dice.uniform(0, 0.4) if starting else dice.uniform(0, 1))
    server.kill()


def wait(seconds: float) -> None:
    threading.Event().wait(seconds)


class Client:
    """Registers tasks and runs one, all the time; it repeats requests without an answer, with the same key."""

    def __init__(self, server: Server, dice: random.Random) -> None:
        self._server = server
        self._dice = dice
        self._stop = threading.Event()
        self.tasks: dict[str, dict[str, Any]] = {}
        #: The runs of the task `manual` that were accepted, by the key of the request.
        self.requested: dict[str, str] = {}

    @contextmanager
    def working(self) -> Iterator[None]:
        thread = threading.Thread(target=self._work)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(PATIENCE)

    def _work(self) -> None:
        number = 0
        while not self._stop.wait(0.1):
            number += 1
            delay = round(self._dice.uniform(0, 2), 3)
            schedule = {"type": "once", "delay": delay}
            body = KEEP | {"name": f"late-{number}", "handler": "count", "schedule": schedule}
            self.tasks[f"late-{number}"] = self._insist("/v1/tasks", f"task-{number}", body)
            run = self._insist("/v1/tasks/manual/run", f"run-{number}", {})
            self.requested[f"run-{number}"] = run["id"]

    def _insist(self, path: str, key: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"Idempotency-Key": key}
        while True:
            try:
                answer = self._server.ask("POST", path, json=body, headers=headers)
            except httpx.TransportError:
                wait(0.02)
                continue
            if answer.status_code == 503:
                wait(0.02)
                continue
            assert answer.is_success, answer.text
            accepted: dict[str, Any] = answer.json()
            return accepted


def settle(server: Server, names: list[str]) -> datetime:
    """Wait until the service has caught up; then end every task, so that nothing changes any more.

    Returns the instant up to which everything was fired.
    """
    cutoff = datetime.now(UTC)
    until = f"scheduled_to={cutoff.isoformat().replace('+00:00', 'Z')}"
    due = f"/v1/runs?status=queued,running,blocked&{until}"
    # After so many kills there is much to catch up with, on a machine that may be busy with other tests.
    eventually(lambda: not server.items(due), "runs are left", within=120)
    eventually(lambda: not behind(server, cutoff), "fire times are left")
    eventually(lambda: not server.items(due), "runs are left")
    for name in names:
        server.ask("POST", f"/v1/tasks/{name}/cancel")  # 409 if it has completed
    eventually(lambda: not server.items("/v1/runs?status=queued,running,blocked"), "runs are left")
    return cutoff


def behind(server: Server, cutoff: datetime) -> list[str]:
    """Return the tasks that have fire times to fire from before the cutoff."""
    return [
        task["name"]
        for task in server.items("/v1/tasks?status=active")
        if task["next_fire_at"] and instant(task["next_fire_at"]) <= cutoff
    ]


def check_fates(server: Server, tasks: dict[str, dict[str, Any]], cutoff: datetime) -> None:
    """Every fire time up to the cutoff has one run, or lies in the span of one skipped run; nothing else was fired."""
    there = {task["name"] for task in server.items("/v1/tasks")}
    assert tasks.keys() <= there, f"accepted, but gone: {tasks.keys() - there}"
    fates: dict[str, list[dict[str, Any]]] = {name: [] for name in tasks}
    for run in server.items("/v1/runs?trigger=schedule"):
        assert run["status"] in FINAL, run
        fates[run["task"]].append(run)
    for name, task in tasks.items():
        expected = fire_times(task, cutoff)
        found = Counter(at for run in fates[name] for at in covered(run, task))
        early = Counter({at: number for at, number in found.items() if at <= cutoff})
        assert early == Counter(expected), (
            f"{name}: {early - Counter(expected)}, {Counter(expected) - early}"
        )


def fire_times(task: dict[str, Any], until: datetime) -> list[datetime]:
    """Return the fire times of an accepted task, computed from its schedule alone."""
    start, schedule = instant(task["created_at"]), task["schedule"]
    match schedule["type"]:
        case "once":
            at = start + timedelta(seconds=schedule["delay"])
            return [at] if at <= until else []
        case "interval":
            every = timedelta(seconds=schedule["every"])
            return [start + n * every for n in range(1, (until - start) // every + 1)]
        case _:
            step = int(schedule["expression"].split()[0].removeprefix("*/"))
            first = start.replace(microsecond=0) + SECOND
            seconds = (first + n * SECOND for n in range((until - first) // SECOND + 1))
            return [at for at in seconds if at.second % step == 0]


def covered(run: dict[str, Any], task: dict[str, Any]) -> list[datetime]:
    """Return the fire times that a run represents."""
    first = instant(run["scheduled_for"])
    if run["scheduled_until"] is None:
        assert run["count"] == 1, run
        return [first]
    last = instant(run["scheduled_until"])
    assert run["status"] == "skipped", run
    inside = [at for at in fire_times(task, last) if first <= at <= last]
    assert len(inside) == run["count"] > 1, run
    assert (inside[0], inside[-1]) == (first, last), run
    return inside


def check_effects(server: Server, names: list[str]) -> None:
    """Each run that succeeded has left its trace in the kv once; no other run has left any."""
    succeeded: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for run in server.items("/v1/runs"):
        assert run["status"] in FINAL, run
        assert (run["status"] == "succeeded") == (run["result"] is not None), run
        if run["status"] == "succeeded":
            succeeded[run["task"]].append(run)
    for name, runs in succeeded.items():
        entries = {entry["key"]: entry["value"] for entry in server.items(f"/v1/tasks/{name}/kv")}
        assert entries.get("count", 0) == len(runs), name
        assert sorted(entries.get("runs", [])) == sorted(run["id"] for run in runs), name
        assert sorted(run["result"] for run in runs) == list(range(1, len(runs) + 1)), name


def check_manual(server: Server, requested: dict[str, str]) -> None:
    """Each request to run was executed once, however often it was sent."""
    assert requested
    runs = [run["id"] for run in server.items("/v1/tasks/manual/runs")]
    assert sorted(runs) == sorted(requested.values())


def check_there_was_an_ordeal(server: Server) -> None:
    """Runs were under way at the kills, and fire times passed while the service was down; else this proves little."""
    runs = server.items("/v1/runs")
    fates = Counter((run["status"], run["reason"]) for run in runs)
    print(fates, Counter(run["attempt"] for run in runs))  # noqa: T201
    assert fates["skipped", "misfire"] > 0
    assert sum(run["attempt"] > 1 for run in runs) > 0


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
