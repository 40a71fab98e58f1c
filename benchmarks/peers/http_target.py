"""A target that answers every call at once, and counts calls and connections: `GET /counts` has both."""

import argparse
import asyncio
import json
from typing import cast

import uvloop

from benchmarks.processes import die_with_parent

_ANSWER = b'{"done":true}'
_LENGTH = b"content-length:"


class Counts:
    """What the target has seen, apart from questions for these counts."""

    def __init__(self) -> None:
        self.calls = 0
        self.connections = 0

    def take(self) -> bytes:
        return json.dumps({"calls": self.calls, "connections": self.connections}).encode()


class _Connection(asyncio.Protocol):
    """Reads requests one after the other; a body has a `Content-Length`."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._transport: asyncio.Transport | None = None
        self._read = bytearray()
        self._called = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._read += data
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._read[:end]).lower()
            size = end + 4 + _body_size(head)
            if len(self._read) < size:
                return
            del self._read[:size]
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        assert self._transport
        closes = b"connection: close" in head
        if head.startswith(b"get /counts"):
            body = self._counts.take()
        else:
            body = _ANSWER
            self._counts.calls += 1
            self._counts.connections += not self._called
            self._called = True
        start = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
        close = b"connection: close\r\n" if closes else b""
        self._transport.write(start + close + b"content-length: %d\r\n\r\n" % len(body) + body)
        if closes:
            self._transport.close()


def _body_size(head: bytes) -> int:
    """Return the `Content-Length` of a head in lower case."""
    for line in head.split(b"\r\n"):
        if line.startswith(_LENGTH):
            return int(line[len(_LENGTH) :])
    return 0


async def _serve(port: int) -> None:
    counts = Counts()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(counts), "127.0.0.1", port, backlog=1_024)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(_serve(parser.parse_args().port))


if __name__ == "__main__":
    die_with_parent()
    main()
