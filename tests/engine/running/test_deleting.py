"""A task is deleted while an attempt of its run is in progress, and its rows are removed before that has ended."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from threading import Event
from typing import Any

import pytest

from rota import Context, SyncContext, handler
from rota.db import tables
from rota.engine.attempts import completer, runner
from rota.handlers.http.handler import HTTP
from tests.engine.service import Service
from tests.handlers import samples
from tests.handlers.conftest import SAMPLES
from tests.handlers.target import Site, serving
from tests.support.factories import eventually

Serve = Callable[..., Service]

MANUAL = {"type": "manual"}
#: What a stop of an idle service may take on a busy machine (seconds); if an attempt is left, it takes 30 s more.
QUICKLY = 10.0

purged = Event()


@handler("leaves")
async def leaves(ctx: Context) -> None:
    await ctx.kv.set("a", 1)
    await asyncio.Event().wait()


@handler("leaves-late")
async def leaves_late(ctx: Context) -> str:
    """Ignore the cancellation, and write and read after the task was deleted."""
    await ctx.kv.set("a", 1)
    while not purged.is_set():
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            continue
    ctx.log.info("still here")
    await ctx.kv.get("b")
    return "too late"


@handler("blocks")
def blocks(ctx: SyncContext) -> str:
    purged.wait(30)
    ctx.kv.set("a", 1)
    ctx.log.info("still here")
    return "too late"


@handler("makes-a-checkpoint")
def makes_a_checkpoint(ctx: SyncContext) -> None:
    purged.wait(30)
    ctx.kv.set("a", 1)
    ctx.kv.commit()


@handler("neighbour")
async def neighbour(ctx: Context) -> str:
    while not purged.is_set():  # noqa: ASYNC110  # an event of threads
        await asyncio.sleep(0.01)
    return "unharmed"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "CANCEL_GRACE", 0.3)
    monkeypatch.setattr(completer, "_RETRY_AFTER", 0.05)
    purged.clear()


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as made:
        made.drips = True
        yield made


@pytest.fixture
def service(serve: Serve) -> Iterator[Service]:
    handlers = (leaves, leaves_late, blocks, makes_a_checkpoint, neighbour, samples.hangs, HTTP)
    yield serve(*handlers, handlers=(str(SAMPLES),))
    purged.set()


def under_way(service: Service) -> float:
    found = service.metrics.registry.get_sample_value("rota_running_attempts")
    assert found is not None
    return found


@pytest.mark.parametrize(
    "kind", ["leaves", "leaves-late", "blocks", "makes-a-checkpoint", "hangs", "http"]
)
def test_an_attempt_ends_when_its_task_is_deleted_and_purged(
    service: Service, site: Site, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    target: dict[str, Any] = {}
    if kind == "http":
        target = {"target": {"url": f"http://127.0.0.1:{site.port}/"}}
    service.register(handler=kind, schedule=MANUAL, **target)
    service.register("beside", handler="neighbour", schedule=MANUAL)
    service.running(service.run_now().id)
    beside = service.running(service.run_now("beside").id)

    with caplog.at_level(logging.INFO):
        service.delete()
        service.engine._maintenance.purge()
        assert service.count(tables.task) == 1
        purged.set()
        result = service.ended(beside.id).result
        eventually(lambda: under_way(service) == 0, "the attempt does not end")
        began = time.monotonic()
        service.stop()

    assert time.monotonic() - began < QUICKLY
    assert [each.getMessage() for each in caplog.records if each.exc_info] == []
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []
    assert "Traceback" not in caplog.text
    assert result == '"unharmed"'


def test_attempts_that_end_in_one_commit_do_not_affect_each_other(service: Service) -> None:
    names = [f"t{number}" for number in range(8)]
    for name in names:
        service.register(name, handler="blocks", schedule=MANUAL)
    service.register("beside", handler="neighbour", schedule=MANUAL, overlap_policy="allow")
    for name in names:
        service.running(service.run_now(name).id)
    beside = [service.running(service.run_now("beside").id) for _ in range(8)]

    for name in names:
        service.delete(name)
    service.engine._maintenance.purge()
    purged.set()

    results: list[Any] = [service.ended(run.id).result for run in beside]
    assert results == ['"unharmed"'] * 8
    eventually(lambda: under_way(service) == 0, "attempts do not end")
