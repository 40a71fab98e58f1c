"""The peer of the `http` handler: Celery with Redis, whose worker calls the same target with httpx."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from celery import Celery
from redis import Redis

from benchmarks.client import wait_until
from benchmarks.peers import celery_http
from benchmarks.peers.redis_server import executable
from benchmarks.processes import check_alive, running
from benchmarks.redis_peer import redis_running
from benchmarks.workspace import subfolder, temporary_folder

_START_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class CeleryPeer:
    """A running worker, with the client of its queue and the Redis that has the results."""

    app: Celery
    redis: Redis

    def calls(self, url: str, count: int, timeout: float) -> float:
        """Return calls per second, from the instant at which the worker may take them to the last result."""
        self.redis.delete(*self._results(), "unused")
        for number in range(count):
            self.app.send_task("call", (url, {"number": number}), queue=celery_http.CALLS)
        began = datetime.now(UTC)
        self.app.control.add_consumer(celery_http.CALLS)
        try:
            wait_until(lambda: len(self._results()) >= count, f"{count} calls", timeout, pause=0.25)
        finally:
            self.app.control.cancel_consumer(celery_http.CALLS)
        return count / (self._last_end() - began).total_seconds()

    def _results(self) -> list[Any]:
        return list(self.redis.keys(celery_http.RESULTS))

    def _last_end(self) -> datetime:
        """Return when the last call ended; raises if one has failed."""
        found = [json.loads(text or "{}") for text in self.redis.mget(self._results())]
        failed = [each for each in found if each["status"] != "SUCCESS"]
        assert not failed, failed[0]
        return max(datetime.fromisoformat(each["date_done"]).replace(tzinfo=UTC) for each in found)


@contextmanager
def celery_peer(folder: Path) -> Iterator[CeleryPeer | None]:
    """Run a worker during the block, with its data in the folder; None without a Redis server."""
    if executable() is None:
        yield None
        return
    # A socket's path may not be long.
    with (
        temporary_folder() as short,
        redis_running(subfolder(folder, "redis"), short / "redis") as socket,
        _worker(folder, socket) as app,
        Redis(unix_socket_path=str(socket)) as redis,
    ):
        yield CeleryPeer(app, redis)


@contextmanager
def _worker(folder: Path, socket: Path) -> Iterator[Celery]:
    log = folder / "celery.log"
    settings = {celery_http.SOCKET: str(socket)}
    app = Celery(broker=f"redis+socket://{socket}", backend=f"redis+socket://{socket}")
    with running("benchmarks.peers.celery_worker", log=log, settings=settings) as child:

        def ready() -> bool:
            check_alive(child, log)
            return bool(app.control.ping(timeout=0.5))

        wait_until(ready, "Celery's worker is ready", _START_TIMEOUT)
        yield app
        check_alive(child, log)
    app.close()
