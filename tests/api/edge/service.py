"""A server with short deadlines before a small application, and clients that are nothing but sockets."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn

from rota.api.edge.limits import Limits
from rota.api.edge.protocol import http_protocol
from tests.support.factories import DEADLINE, eventually

MEBIBYTE = 1_048_576
LARGE = 32 * MEBIBYTE  # more than the buffers of two sockets take


class Answering:
    """An application that counts what it begins and ends."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended = 0
        self.headers: dict[bytes, bytes] = {}
        self.go_on = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        self.begun.append(scope["path"])
        try:
            body = await getattr(self, f"_{scope['path'].strip('/')}")(receive)
            self.headers = dict(scope["headers"])
            await self._send(send, body, LARGE if scope["path"] == "/whole" else 65_536)
        finally:
            self.ended += 1

    async def _ok(self, _receive: Any) -> bytes:
        return b"ok"

    async def _large(self, _receive: Any) -> bytes:
        return b"x" * LARGE

    _whole = _large

    async def _slow(self, _receive: Any) -> bytes:
        await asyncio.to_thread(self.go_on.wait, DEADLINE)
        return b"slow"

    async def _late(self, receive: Any) -> bytes:
        """Read the body, but not at once."""
        await asyncio.to_thread(self.go_on.wait, DEADLINE)
        return await self._length(receive)

    async def _gone(self, receive: Any) -> bytes:
        """Wait as a stream does: until the client is gone."""
        while (await receive())["type"] != "http.disconnect":
            pass
        return b""

    async def _length(self, receive: Any) -> bytes:
        received = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return b""
            received += len(message["body"])
            if not message["more_body"]:
                return str(received).encode()

    async def _send(self, send: Any, body: bytes, together: int) -> None:
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for start in range(0, len(body), together):
            chunk = body[start : start + together]
            more = start + together < len(body)
            await send({"type": "http.response.body", "body": chunk, "more_body": more})


@dataclass(frozen=True)
class Answer:
    """What came back for one request."""

    status: int
    headers: dict[str, str]
    body: bytes
    pairs: tuple[tuple[str, str], ...] = ()

    def all(self, name: str) -> list[str]:
        """Return the values of a header that may come several times."""
        return [value for known, value in self.pairs if known == name]

    @property
    def problem(self) -> dict[str, Any]:
        """The problem document, whose status must be that of the status line."""
        assert self.headers["content-type"] == "application/problem+json", self
        document: dict[str, Any] = json.loads(self.body)
        assert document["status"] == self.status
        assert document["request_id"] == self.headers["x-request-id"]
        return document


class Client:
    """One connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
        self._file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        """Send all of it; a server that has closed meanwhile is no fault."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return

    def answer(self, *, has_body: bool = True) -> Answer:
        """Read one answer."""
        status = int(self._file.readline().split(b" ")[1])
        lines = iter(self._file.readline, b"\r\n")
        parts = (line.decode().rstrip("\r\n").partition(": ") for line in lines)
        pairs = tuple((name.lower(), value) for name, _, value in parts)
        headers = dict(pairs)
        length = int(headers["content-length"]) if has_body else 0
        return Answer(status, headers, self._file.read(length), pairs)

    def ask(self, data: bytes) -> Answer:
        """Send something and read one answer."""
        self.send(data)
        return self.answer()

    def rest(self) -> bytes:
        """Read until the server closes."""
        try:
            return self._file.read()
        except ConnectionResetError:
            return b""

    def close(self) -> None:
        self._file.close()
        self.socket.close()


@dataclass
class Edge:
    """A server."""

    port: int
    app: Answering
    server: uvicorn.Server
    _clients: list[Client] = field(default_factory=list)

    def connect(self) -> Client:
        """Open a connection, which is closed in the end."""
        self._clients.append(Client(self.port))
        return self._clients[-1]

    @property
    def connections(self) -> int:
        """How many the server has."""
        return len(self.server.server_state.connections)

    def connection(self, client: Client) -> Any:
        """Return the server's side of a connection."""
        name = client.socket.getsockname()
        made: set[Any] = self.server.server_state.connections
        return eventually(lambda: next((each for each in tuple(made) if each.client == name), None))

    def close(self) -> None:
        for client in self._clients:
            client.close()


@contextmanager
def serving(limits: Limits, **options: Any) -> Iterator[Edge]:
    """Serve in a thread, on a port of its own."""
    app = Answering()
    config = uvicorn.Config(
        app,
        http=http_protocol(limits),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        port=0,
        timeout_graceful_shutdown=1,
        **options,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        eventually(lambda: server.started or not thread.is_alive(), "the server does not start")
        made = Edge(server.servers[0].sockets[0].getsockname()[1], app, server)
        try:
            yield made
        finally:
            app.go_on.set()
            made.close()
    finally:
        server.should_exit = True
        thread.join()


def request(path: str = "/ok", *headers: str, method: str = "GET") -> bytes:
    """Return a request without a body."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()
