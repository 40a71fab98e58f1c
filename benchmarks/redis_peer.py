"""The peer of the key-value table: FastAPI over Redis, in two processes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.client import answers, wait_until
from benchmarks.peers.redis_server import executable
from benchmarks.processes import check_alive, free_port, running
from benchmarks.workspace import subfolder, temporary_folder

_START_TIMEOUT = 30.0


@contextmanager
def redis_peer(folder: Path) -> Iterator[int | None]:
    """Serve the peer during the block, with its data in the folder; its port, or None without a Redis server."""
    if executable() is None:
        yield None
        return
    # A socket's path may not be long.
    with (
        temporary_folder() as short,
        redis_running(subfolder(folder, "redis"), short / "redis") as socket,
        _peer(folder, socket) as port,
    ):
        yield port


@contextmanager
def redis_running(folder: Path, socket: Path) -> Iterator[Path]:
    """Run a Redis server during the block; where it listens."""
    log = folder / "redis.log"
    arguments = ("--folder", str(folder), "--socket", str(socket))
    with running("benchmarks.peers.redis_server", *arguments, log=log) as child:

        def ready() -> bool:
            check_alive(child, log)
            return socket.exists()

        wait_until(ready, "Redis is ready", _START_TIMEOUT)
        yield socket
        check_alive(child, log)


@contextmanager
def _peer(folder: Path, socket: Path) -> Iterator[int]:
    port, log = free_port(), folder / "redis-peer.log"
    arguments = ("--port", str(port), "--socket", str(socket))
    with running("benchmarks.peers.redis_kv", *arguments, log=log) as child:

        def ready() -> bool:
            check_alive(child, log)
            return answers(port, "/readyz")

        wait_until(ready, "the peer over Redis is ready", _START_TIMEOUT)
        yield port
        check_alive(child, log)
