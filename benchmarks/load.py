"""Requests of one kind as fast as they are answered, over keep-alive connections; prints JSON.

A process of its own, with as little HTTP as will do, so that the client takes little of the processors.
"""

import argparse
import asyncio
import itertools
import json
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import cast

import uvloop

from benchmarks.figures import spread
from benchmarks.processes import die_with_parent
from benchmarks.traffic import OPERATIONS, Request, requests

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_END_OF_HEAD = b"\r\n\r\n"
_DONE = (b"HTTP/1.1 200", b"HTTP/1.1 201")
_PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of a load."""

    requests: int
    per_second: float
    p50: float
    p99: float
    most: float


class _Load:
    """What the connections share: how much is left to do, and what was measured."""

    def __init__(self, port: int, requests: Iterator[Request], seconds: float) -> None:
        self._requests = requests
        self._head = (
            f" HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        ).encode()
        self._deadline = time.perf_counter() + seconds
        self.taken: list[float] = []

    def next_request(self) -> bytes | None:
        if time.perf_counter() > self._deadline:
            return None
        request = next(self._requests, None)
        return None if request is None else self._rendered(request)

    def _rendered(self, request: Request) -> bytes:
        begin = f"{request.method} {request.path}".encode()
        return b"%b%b%d\r\n\r\n%b" % (begin, self._head, len(request.body), request.body)


class _Connection(asyncio.Protocol):
    """Sends a request, waits for the answer, and so on."""

    def __init__(self, load: _Load, done: asyncio.Future[None]) -> None:
        self._load = load
        self._done = done
        self._received = b""
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(
            "asyncio.Transport", transport
        )  # uvloop's is one by its methods only
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(_END_OF_HEAD)
        if not end:
            return
        length = _LENGTH.search(head)
        assert length, head
        if len(body) >= int(length[1]):
            self._answered(head)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(exc or ConnectionError("the server closed the connection"))

    def _send(self) -> None:
        request = self._load.next_request()
        if request is not None:
            self._sent_at = time.perf_counter()
            self._transport.write(request)
        elif not self._done.done():
            self._done.set_result(None)

    def _answered(self, head: bytes) -> None:
        self._load.taken.append(time.perf_counter() - self._sent_at)
        received, self._received = self._received, b""
        if not head.startswith(_DONE):
            self._done.set_exception(ValueError(f"neither 200 nor 201: {received[:500]!r}"))
            return
        self._send()


async def _apply(port: int, requests: Iterator[Request], clients: int, seconds: float) -> Answered:
    load = _Load(port, requests, seconds)
    loop = asyncio.get_running_loop()
    start = time.perf_counter()
    all_done = [loop.create_future() for _ in range(clients)]
    connecting = [
        loop.create_connection(lambda done=done: _Connection(load, done), "127.0.0.1", port)  # type: ignore[misc]
        for done in all_done
    ]
    opened = await asyncio.gather(*connecting)
    async with asyncio.timeout(seconds + _PATIENCE):
        await asyncio.gather(*all_done)
    elapsed = time.perf_counter() - start
    for transport, _ in opened:
        transport.close()
    taken = spread([each * 1000 for each in load.taken])
    return Answered(len(load.taken), len(load.taken) / elapsed, taken.p50, taken.p99, taken.most)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--operation", choices=OPERATIONS, required=True)
    parser.add_argument("--prefix", default="")
    parser.add_argument("--clients", type=int, required=True)
    parser.add_argument("--count", type=int, help="at most so many; without it, as many as can be")
    parser.add_argument("--seconds", type=float, required=True)
    given = parser.parse_args()
    wanted = itertools.islice(requests(given.operation, given.prefix), given.count)
    load = _apply(given.port, wanted, given.clients, given.seconds)
    print(json.dumps(asdict(uvloop.run(load))))


if __name__ == "__main__":
    die_with_parent()
    main()
