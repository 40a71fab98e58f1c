"""Workers: runs of a queue are executed in the program of the user."""

import asyncio
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest

import rota as sdk
from rota.client import (
    AsyncRota,
    AsyncWorkContext,
    Fail,
    Invalid,
    Retry,
    Rota,
    RunCancelled,
    RunFailed,
    WorkContext,
    WorkerHandler,
)
from rota.client.entries.work import KvTruncated, WorkKv
from rota.client.models.work import LeasedRun
from rota.client.outcomes import failure
from rota.client.sync.concurrency import signals
from rota.client.sync.work.worker import Worker
from tests.api.marks import on_both
from tests.client.faulty import CUT, FaultyServer, answer, faulty, problem
from tests.client.test_streams import run as shown_run
from tests.support.factories import eventually

_NUMBERS = count()
PATIENCE = 30


@contextmanager
def working(worker: Worker) -> Iterator[None]:
    """Run a worker in a thread; it has ended afterwards."""
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        thread.join(PATIENCE)
    assert not thread.is_alive()


@pytest.fixture
def queue() -> str:
    return f"q{next(_NUMBERS)}"


@pytest.fixture
def task(queue: str) -> str:
    return f"task-of-{queue}"


def declare(rota: Rota, task: str, queue: str, **fields: Any) -> None:
    """Declare a task whose runs a worker executes."""
    fields = {"schedule": {"type": "manual"}, "overlap_policy": "allow"} | fields
    rota.handlers.declare(queue)
    rota.tasks.declare(task, handler=queue, queue=queue, **fields)


@on_both
def test_a_worker_executes_runs_and_writes_with_their_success(
    rota: Rota, queue: str, task: str
) -> None:
    def count_words(ctx: WorkContext) -> dict[str, int]:
        words = len(ctx.input["text"].split())
        ctx.progress(0.5, "counting")
        ctx.kv.increment("total", words)
        ctx.kv["last"] = ctx.run.id
        return {"words": words, "seen": ctx.kv.get("total", 0)}

    declare(rota, task, queue)
    with working(rota.worker(queue, {queue: count_words}, concurrency=2, wait=0.5)):
        runs = [rota.task(task).run({"text": "to be or"}) for _ in range(4)]
        results = [run.result(timeout=PATIENCE) for run in runs]

    assert [each["words"] for each in results] == [3] * 4
    assert rota.task(task).kv["total"] == 12
    assert rota.task(task).kv["last"] in {run.id for run in runs}
    assert rota.runs.read(runs[0].id).progress is not None


def test_a_handler_requests_another_attempt_or_fails_the_run(
    rota: Rota, queue: str, task: str
) -> None:
    def work(ctx: WorkContext) -> int:
        if ctx.input == "fail":
            raise Fail("no such customer")
        if ctx.input == "error":
            raise ValueError("broken")
        if ctx.run.attempt == 1:
            raise Retry(after=0, reason="not yet")
        return ctx.run.attempt

    declare(rota, task, queue, retry={"max_attempts": 2, "initial_interval": 1})
    with working(rota.worker(queue, {queue: work}, concurrency=3, wait=0.5)):
        again, failed, broken = (rota.task(task).run(each) for each in ("again", "fail", "error"))
        assert again.result(timeout=PATIENCE) == 2
        with pytest.raises(RunFailed, match="no such customer") as caught:
            failed.result(timeout=PATIENCE)
        assert caught.value.run.attempt == 1
        with pytest.raises(RunFailed, match="ValueError: broken"):
            broken.result(timeout=PATIENCE)


def test_each_run_is_executed_by_its_handler(rota: Rota, queue: str) -> None:
    names = (f"{queue}-a", f"{queue}-b")
    handlers: dict[str, Any] = {name: (lambda _, name=name: name) for name in names}
    handlers[names[1]] = WorkerHandler(
        handlers[names[1]], "Says b.", {"type": "object", "required": ["n"]}, "5s"
    )
    worker = rota.worker(queue, handlers, concurrency=2, wait=0.5)
    with working(worker):
        eventually(lambda: {each.name for each in rota.handlers.list()} >= set(names))
        for name in names:
            rota.tasks.declare(
                name, handler=name, queue=queue, input={"n": 1}, schedule={"type": "manual"}
            )
            assert rota.task(name).run().result(timeout=PATIENCE) == name
        with pytest.raises(Invalid, match="n"):
            rota.task(names[1]).run({})

    assert rota.handlers.read(names[1]).timeout == 5.0


def test_a_worker_that_is_stopped_completes_what_it_has(rota: Rota, queue: str, task: str) -> None:
    begun, release = threading.Event(), threading.Event()

    def work(_: WorkContext) -> str:
        begun.set()
        assert release.wait(PATIENCE)
        return "done"

    declare(rota, task, queue)
    worker = rota.worker(queue, {queue: work}, wait=0.2)
    with working(worker):
        run = rota.task(task).run()
        assert begun.wait(PATIENCE)
        later = rota.task(task).run()
        worker.stop()
        release.set()

    assert run.read().result == "done"
    assert later.read().status == "queued"


def test_a_handler_is_told_that_its_run_was_cancelled(rota: Rota, queue: str, task: str) -> None:
    begun = threading.Event()

    def work(ctx: WorkContext) -> None:
        begun.set()
        assert ctx.stop.wait(PATIENCE)
        raise Retry(reason="it was stopped")

    declare(rota, task, queue)
    with working(rota.worker(queue, {queue: work}, lease=1, wait=0.2)):
        run = rota.task(task).run()
        assert begun.wait(PATIENCE)
        run.cancel()
        with pytest.raises(RunCancelled):
            run.result(timeout=PATIENCE)


def test_an_outcome_that_is_refused_fails_the_run_with_the_reason(
    rota: Rota, queue: str, task: str
) -> None:
    def work(ctx: WorkContext) -> None:
        ctx.kv["no key"] = 1

    declare(rota, task, queue)
    with (
        working(rota.worker(queue, {queue: work}, wait=0.2)),
        pytest.raises(RunFailed, match="the outcome was refused"),
    ):
        rota.task(task).run().result(timeout=PATIENCE)


def test_an_async_worker_executes_both_kinds_of_functions(
    connected: Callable[..., None], queue: str, task: str
) -> None:
    def plain(ctx: AsyncWorkContext) -> int:
        return int(ctx.input["n"]) + 1

    async def coroutine(ctx: AsyncWorkContext) -> int:
        await ctx.progress(0.1)
        if ctx.input["n"] < 0:
            await asyncio.sleep(PATIENCE)  # interrupted by the cancellation
        return int(ctx.input["n"]) + 2

    async def use(rota: AsyncRota) -> None:
        names = [f"{queue}-plain", f"{queue}-coroutine"]
        handlers = dict(zip(names, (plain, coroutine), strict=True))
        worker = rota.worker(queue, handlers, concurrency=2, lease=1, wait=0.2)
        working = asyncio.create_task(worker.run(handle_signals=False))
        for name in names:
            await rota.handlers.declare(name)
            await rota.tasks.declare(name, handler=name, queue=queue, schedule={"type": "manual"})
        runs = [await rota.task(name).run({"n": 1}) for name in names]
        assert [await run.result(timeout=PATIENCE) for run in runs] == [2, 3]
        run = await rota.task(names[1]).run({"n": -1})
        while (await run.read()).status != "running":  # noqa: ASYNC110  # another process does it
            await asyncio.sleep(0.02)
        await run.cancel()
        with pytest.raises(RunCancelled):
            await run.result(timeout=PATIENCE)
        worker.stop()
        await working

    connected(use)


LEASED = {
    "run": shown_run(),
    "handler": "h",
    "kv": {"a": 1, "log": ["x"]},
    "kv_revision": 1,
    "kv_truncated": True,
    "traceparent": None,
    "token": "secret",
    "lease_expires_at": "2026-11-25T08:00:00.000Z",
}


def test_what_was_not_handed_out_is_not_taken_for_missing() -> None:
    kv = WorkKv(LeasedRun.model_validate(LEASED))
    with pytest.raises(KvTruncated, match="'b'"):
        kv.get("b")
    kv["b"] = 2
    del kv["a"]
    kv.append("log", "y", max_length=1)
    kv.max("b", 5)
    kv.set_once("b", 0)
    kv.expire("log", 60)

    assert (kv["b"], kv["log"], list(kv)) == (5, ["y"], ["b", "log"])
    assert [each["op"] for each in kv.operations] == [
        *("set", "delete", "append", "max", "set_once", "expire")
    ]
    with pytest.raises(KeyError):
        kv["a"]


def test_exceptions_of_the_sdk_are_understood() -> None:
    assert failure(sdk.Fail("no")) == {"fail": {"reason": "no"}}
    assert failure(sdk.Retry("1m", "later"))["retry"]["reason"] == "later"
    assert failure(ValueError("a\0b"))["retry"]["reason"] == "ValueError: a\\x00b"


HANDLER = {"name": "h", "description": "", "isolation": "outside", "input_schema": None}


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    handler = HANDLER | {"timeout": None, "updated_at": None}
    with faulty() as made:
        yield made.plan(answer(200, handler), path="/v1/handlers/h")


COMPLETE = "/v1/runs/r1/complete"
HEARTBEAT = {"lease_expires_at": "2026-11-25T08:00:00.000Z", "cancel_requested": False}
LEASE = "/v1/queues/q/lease"


def one_run(server: FaultyServer, worker: Worker) -> None:
    """Let a worker execute what the server hands out, until it has tried to complete it."""
    with working(worker):
        eventually(lambda: server.requests(COMPLETE))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rota.client.sync.transport.sleep", lambda _: None)


def test_an_outcome_is_sent_again_until_it_is_answered(server: FaultyServer, quick: None) -> None:
    server.plan(answer(200, {"items": [LEASED]}), answer(200, {"items": []}), path=LEASE)
    server.plan(
        CUT, problem(503, "unavailable", Retry_After="0"), answer(200, shown_run()), path=COMPLETE
    )
    with Rota(server.url) as rota:
        one_run(server, rota.worker("q", {"h": lambda _: 7}))

    sent = server.requests(COMPLETE)
    assert len(sent) == 3
    assert {each.body for each in sent} == {b'{"result":7}'}
    assert sent[0].headers["x-rota-token"] == "secret"


def test_a_run_that_was_taken_away_is_left_alone(
    server: FaultyServer, quick: None, caplog: pytest.LogCaptureFixture
) -> None:
    server.plan(answer(200, {"items": [LEASED]}), answer(200, {"items": []}), path=LEASE)
    server.plan(problem(409, "superseded", "It has ended."), path=COMPLETE)
    with Rota(server.url) as rota, caplog.at_level(logging.WARNING, "rota.client.worker"):
        one_run(server, rota.worker("q", {"h": lambda _: 7}))

    assert len(server.requests(COMPLETE)) == 1
    assert "the outcome is not taken: It has ended." in caplog.text


def test_a_worker_waits_for_a_service_that_is_away(server: FaultyServer, quick: None) -> None:
    away = problem(503, "unavailable", Retry_After="0.01")
    server.plan(
        *[away] * 2, answer(200, {"items": [LEASED]}), answer(200, {"items": []}), path=LEASE
    )
    server.plan(answer(200, shown_run()), path=COMPLETE)
    with Rota(server.url) as rota:
        one_run(server, rota.worker("q", {"h": lambda _: 7}))

    assert len(server.requests(LEASE)) >= 3


def test_a_worker_ends_with_the_problem_if_it_is_refused(server: FaultyServer) -> None:
    server.plan(problem(422, "invalid", "'h' is not a handler for workers."), path=LEASE)

    with Rota(server.url) as rota, pytest.raises(Invalid, match="not a handler"):
        rota.worker("q", {"h": lambda _: 7}).run()


def test_a_key_that_may_only_work_declares_nothing(server: FaultyServer) -> None:
    server.plan(problem(403, "forbidden"), path="/v1/handlers/other")
    server.plan(problem(422, "invalid", "no"), path=LEASE)

    with Rota(server.url) as rota, pytest.raises(Invalid):
        rota.worker("q", {"other": WorkerHandler(lambda _: 7)}).run()

    assert len(server.requests(LEASE)) == 1


def test_a_worker_without_handlers_is_refused() -> None:
    with Rota("http://localhost:1") as rota, pytest.raises(ValueError, match="needs a handler"):
        rota.worker("q", {})


def test_an_error_of_the_service_ends_no_worker_and_fails_no_run(server: FaultyServer) -> None:
    error = problem(500, "internal", "It broke.")
    server.plan(error, answer(200, {"items": [LEASED]}), answer(200, {"items": []}), path=LEASE)
    server.plan(error, answer(502, "<html>"), answer(200, shown_run()), path=COMPLETE)
    with Rota(server.url, retries=0) as rota, working(rota.worker("q", {"h": lambda _: 7})):
        eventually(lambda: len(server.requests(COMPLETE)) >= 3)

    assert {each.body for each in server.requests(COMPLETE)} == {b'{"result":7}'}


def test_an_outcome_is_not_sent_again_before_the_service_wants_it(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("rota.client.sync.work.attempt.sleep", waits.append)
    server.plan(answer(200, {"items": [LEASED]}), answer(200, {"items": []}), path=LEASE)
    busy = problem(429, "rate-limited", Retry_After="40")
    server.plan(busy, busy, CUT, answer(200, shown_run()), path=COMPLETE)
    with (
        Rota(server.url, retries=0) as rota,
        working(rota.worker("q", {"h": lambda _: 7}, lease=60)),
    ):
        eventually(lambda: len(server.requests(COMPLETE)) >= 4)

    assert waits[:2] == [40, 40]
    assert 0 < waits[2] < 1


def test_writes_that_json_cannot_carry_are_a_retry_with_the_reason(
    server: FaultyServer, quick: None
) -> None:
    def handle(ctx: WorkContext) -> None:
        ctx.kv["a"] = object()

    server.plan(answer(200, {"items": [LEASED]}), answer(200, {"items": []}), path=LEASE)
    server.plan(answer(200, shown_run()), path=COMPLETE)
    with Rota(server.url) as rota:
        one_run(server, rota.worker("q", {"h": handle}))

    assert b"JSON cannot carry a object" in server.requests(COMPLETE)[0].body


def test_a_heartbeat_that_is_not_answered_does_not_lose_the_lease(
    server: FaultyServer, quick: None
) -> None:
    ended = threading.Event()
    silent = threading.Event()
    beats = "/v1/runs/r1/heartbeat"
    server.plan(answer(200, {"items": [LEASED]}), answer(200, {"items": []}), path=LEASE)
    server.plan(lambda _: silent.wait(PATIENCE), answer(200, HEARTBEAT), path=beats)
    server.plan(answer(200, shown_run()), path=COMPLETE)
    handler = {"h": lambda _: ended.wait(PATIENCE)}
    with Rota(server.url) as rota, working(rota.worker("q", handler, lease=0.9)):
        eventually(lambda: len(server.requests(beats)) >= 2, within=5)
        silent.set()
        ended.set()


def test_a_signal_stops_a_worker_from_another_thread() -> None:
    """The handler of a signal must take no lock: the thread that it interrupts may have it."""
    stopped = threading.Event()
    threads: list[int] = []

    def stop() -> None:
        threads.append(threading.get_ident())
        stopped.set()

    with signals(stop):
        signal.raise_signal(signal.SIGTERM)
        assert stopped.wait(PATIENCE)

    assert threads != [threading.get_ident()]
