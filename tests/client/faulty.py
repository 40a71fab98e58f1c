"""A server on a real socket that answers as it is told: with any bytes, with a cut connection, or not at all."""

import json
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self

#: Reads the request, then closes the connection.
CUT = b""


@dataclass(frozen=True)
class Received:
    """A request; names of headers in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Answer = bytes | Callable[[socket.socket], object]


def answer(status: int, body: Any = None, **headers: str) -> bytes:
    """Return a response; a body that is no text is JSON."""
    content = body if isinstance(body, str) else "" if body is None else json.dumps(body)
    head = {
        "Content-Length": str(len(content.encode())),
        "Connection": "close",
        "Content-Type": "application/json",
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in head.items()]
    return ("\r\n".join(lines) + "\r\n\r\n" + content).encode()


def problem(status: int, slug: str, detail: str = "", **headers: str) -> bytes:
    """Return a problem document."""
    document = {"type": f"/problems/{slug}", "title": slug, "status": status, "detail": detail}
    return answer(status, document | {"errors": [], "request_id": "r"}, **headers)


def stream(*blocks: str) -> bytes:
    """Return the begin of an event stream, which ends as a cut connection does."""
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    content = "".join(f"{block}\n\n" for block in blocks).encode()
    return head.encode() + (b"%x\r\n%b\r\n" % (len(content), content) if content else b"")


def event(type: str, id: str, **data: Any) -> str:
    """Return the text of an event in the envelope of Rota."""
    envelope = {"type": type, "timestamp": "2026-11-25T08:00:00.000Z", "data": data}
    return f"event: {type}\nid: {id}\ndata: {json.dumps(envelope, ensure_ascii=False)}"


class FaultyServer:
    """Gives each connection the next answer of those that were planned, by path or for any path."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.received: list[Received] = []
        self._planned: deque[Answer] = deque()
        self._by_path: dict[str, deque[Answer]] = {}
        threading.Thread(target=self._accept, daemon=True).start()

    def plan(self, *answers: Answer, path: str | None = None) -> Self:
        """Add answers; the last one of a path is given again and again."""
        queue = self._planned if path is None else self._by_path.setdefault(path, deque())
        queue.extend(answers)
        return self

    def requests(self, path: str) -> list[Received]:
        """Return what was received for a path."""
        return [each for each in self.received if each.path.startswith(path)]

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # which wakes the thread that accepts
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            received = _read(connection)
            self.received.append(received)
            given = self._next(received.path.partition("?")[0])
            if callable(given):
                given(connection)
            else:
                connection.sendall(given)

    def _next(self, path: str) -> Answer:
        for key, queue in self._by_path.items():
            if path == key:
                return queue.popleft() if len(queue) > 1 else queue[0]
        return self._planned.popleft()


def _read(connection: socket.socket) -> Received:
    file = connection.makefile("rb")
    method, path, _ = file.readline().decode().split()
    headers: dict[str, str] = {}
    while line := file.readline().strip().decode():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return Received(method, path, headers, file.read(int(headers.get("content-length", 0))))


@contextmanager
def faulty() -> Iterator[FaultyServer]:
    """Run a server."""
    server = FaultyServer()
    try:
        yield server
    finally:
        server.close()
