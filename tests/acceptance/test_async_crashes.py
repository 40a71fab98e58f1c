"""`kill -9` at random moments of deliveries and completions: what was accepted is stored once, all else is refused."""

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.acceptance import ordeals
from tests.acceptance.server import Server
from tests.handlers.target import Received, Site
from tests.handlers.target import serving as serving_site
from tests.support.factories import eventually
from tests.support.torture import Part, torture

Serve = Callable[..., Server]
_MOST_AT_ONCE = 6


@dataclass(frozen=True)
class Ordeal:
    """How many runs there are, and how often the service is killed meanwhile."""

    runs: int
    kills: int


SHORT, LONG = Ordeal(runs=25, kills=2), Ordeal(runs=150, kills=10)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_kills_lose_and_repeat_no_completion(serve: Serve) -> None:
    torment_and_check(serve(lease_ttl=1), SHORT)


@torture(Part.KILLS)
@pytest.mark.timeout(300)
def test_many_kills_lose_and_repeat_no_completion(serve: Serve) -> None:
    torment_and_check(serve(lease_ttl=1), LONG)


def torment_and_check(rota: Server, ordeal: Ordeal) -> None:
    seed = ordeals.seed()
    dice = random.Random(seed)
    rota.start()
    with working(rota, random.Random(seed + 1)) as worker:
        register(rota, worker, ordeal.runs)
        ordeals.kill_often(rota, ordeal.kills, dice)
        eventually(lambda: len(ended(rota)) == ordeal.runs, "runs are left", within=90)
    check(rota, worker, ordeal.runs)


@dataclass
class Worker:
    """A target that takes jobs on with a 202, and completes them from many threads, before it or after it."""

    rota: Server
    dice: random.Random
    site: Site
    threads: ThreadPoolExecutor
    #: By run: the results that were accepted, those that were sent, and the tokens.
    accepted: dict[str, list[str]] = field(default_factory=dict)
    sent: dict[str, list[str]] = field(default_factory=dict)
    tokens: list[tuple[str, str]] = field(default_factory=list)
    #: Answers that are neither 200 nor 409.
    odd: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def take(self, got: Received) -> None:
        """Take a job on: complete it at once, a while later, twice, or never. The first is never completed."""
        run, token = got.headers["x-rota-run"], got.headers["x-rota-token"]
        is_first = not self.tokens
        self.tokens.append((run, token))
        chance, delay = self.dice.random(), self.dice.uniform(0, 0.2)
        if chance < 0.1 or is_first:
            return  # the attempt times out
        if chance < 0.3:
            self.complete(run, token, 0)
        else:
            self.threads.submit(self.complete, run, token, delay)
        if chance > 0.8:
            self.threads.submit(self.complete, run, token, delay)

    def complete(self, run: str, token: str, delay: float) -> None:
        self.stop.wait(delay)
        result = f"{run}/{len(self.sent.setdefault(run, []))}"
        self.sent[run].append(result)
        outcome = {"result": result, "kv": [{"op": "increment", "key": "completed"}]}
        while not self.stop.is_set():
            answer = self.post(run, token, outcome)
            if answer is not None:
                if answer.status_code == 200:
                    self.accepted.setdefault(run, []).append(result)
                elif answer.status_code != 409:
                    self.odd.append(answer.text)
                return
            self.stop.wait(0.02)

    def post(self, run: str, token: str, outcome: dict[str, Any]) -> httpx.Response | None:
        """Return the answer; None if there is none yet."""
        headers = {"X-Rota-Token": token}
        try:
            answer = self.rota.ask(
                "POST", f"/v1/runs/{run}/complete", json=outcome, headers=headers
            )
        except httpx.TransportError:
            return None
        return None if answer.status_code == 503 else answer


@contextmanager
def working(rota: Server, dice: random.Random) -> Iterator[Worker]:
    with serving_site() as site, ThreadPoolExecutor(16) as threads:
        worker = Worker(rota, dice, site, threads)
        site.answer(202)
        site.meanwhile = worker.take
        try:
            yield worker
        finally:
            worker.stop.set()


def register(rota: Server, worker: Worker, runs: int) -> None:
    target = {"url": f"http://127.0.0.1:{worker.site.port}/", "async": True, "timeout": 5}
    task = {
        "handler": "http",
        "target": target,
        "schedule": {"type": "manual"},
        "overlap_policy": "allow",
        "queue": "q",
        "heartbeat_timeout": 1,
        "retry": {"max_attempts": 100, "initial_interval": 0.1, "backoff": "constant"},
        "retention": {"runs": 10_000},
    }
    rota.call("PUT", "/v1/queues/q", json={"concurrency": _MOST_AT_ONCE})
    rota.call("PUT", "/v1/tasks/t", json=task)
    for _ in range(runs):
        rota.call("POST", "/v1/tasks/t/run", json={})


def ended(rota: Server) -> list[dict[str, Any]]:
    return rota.items("/v1/runs?status=succeeded,failed,cancelled")


def check(rota: Server, worker: Worker, runs: int) -> None:
    assert not worker.odd
    found = ended(rota)
    assert {run["status"] for run in found} == {"succeeded"}
    for run in found:
        accepted = worker.accepted.get(run["id"], [])
        assert accepted in ([], [run["result"]]), (run, accepted)
        assert run["result"] in worker.sent[run["id"]]
    assert rota.call("GET", "/v1/tasks/t/kv/completed")["value"] == runs
    for run_id, token in worker.tokens:
        late = worker.post(run_id, token, {"result": "late"})
        assert late is not None
        assert late.status_code == 409, late.text
    assert len(worker.tokens) > runs, "no attempt was lost or timed out"
