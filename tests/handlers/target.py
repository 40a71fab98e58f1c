"""A small HTTP server on the loopback with configurable responses, invalid ones among them."""

import json
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from rota.domain.http_target.target import Target
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Failed, Fatal, Succeeded
from tests.handlers.bench import Bench

OUTCOME = "application/vnd.rota.outcome+json"

Headers = dict[str, str]


@dataclass
class Received:
    method: str
    path: str
    headers: Headers
    body: bytes


@dataclass
class Site:
    """The response of the server, and the requests that it received."""

    port: int = 0
    status: int = 200
    headers: Headers = field(default_factory=lambda: {"Content-Type": "application/json"})
    body: bytes = b"{}"
    #: Send the body one byte at a time, for ever, from a thread that ends with the test.
    drips: bool = False
    hangs_up: bool = False
    #: What the server does between a request and its response.
    meanwhile: Callable[[Received], None] = lambda _: None
    received: list[Received] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def target(self, path: str = "/", **fields: Any) -> Target:
        return Target(url=f"http://127.0.0.1:{self.port}{path}", **fields)

    def answer(
        self, status: int, body: bytes = b"", content_type: str = "", **headers: str
    ) -> None:
        self.status, self.body = status, body
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if content_type:
            self.headers["Content-Type"] = content_type


class _Exchange(socketserver.StreamRequestHandler):
    site: Site

    def handle(self) -> None:
        site = self.site
        got = self._read()
        site.received.append(got)
        site.meanwhile(got)
        if site.hangs_up:
            return
        with suppress(ConnectionError):  # of a client that has had enough
            self._write(site)

    def _read(self) -> Received:
        method, path, _ = self.rfile.readline().decode().split(" ")
        headers: Headers = {}
        while line := self.rfile.readline().strip():
            name, _, value = line.decode("latin-1").partition(": ")
            headers[name.lower()] = value
        return Received(
            method, path, headers, self.rfile.read(int(headers.get("content-length", 0)))
        )

    def _write(self, site: Site) -> None:
        head = [f"HTTP/1.1 {site.status} {HTTPStatus(site.status).phrase}", "Connection: close"]
        head += [f"{name}: {value}" for name, value in site.headers.items()]
        self.wfile.write("\r\n".join([*head, "", ""]).encode("latin-1"))
        self.wfile.write(site.body)
        while site.drips and not site.over.wait(0.05):
            self.wfile.write(b"x")


def unserved() -> socket.socket:
    """Return a socket with a port of the loopback at which connections are refused; `serving` can serve it."""
    made = socket.socket()
    made.bind(("127.0.0.1", 0))
    return made


@contextmanager
def deaf() -> Iterator[socket.socket]:
    """Listen, and take on no connection: the queue of the socket is full, so a connect is not answered."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with suppress(BlockingIOError):
                waiting.connect(listening.getsockname())
        yield listening


@contextmanager
def serving(at: socket.socket | None = None) -> Iterator[Site]:
    """Serve a site, at a bound socket or at any free port."""
    site = Site()
    exchange = type("Exchange", (_Exchange,), {"site": site})
    bound = at or unserved()
    address = bound.getsockname()
    with socketserver.ThreadingTCPServer(address, exchange, bind_and_activate=False) as server:
        server.socket.close()
        server.socket = bound
        server.server_activate()
        server.daemon_threads = True
        site.port = address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield site
        site.over.set()
        server.shutdown()
        thread.join()


def get(bench: Bench, site: Site, input: str = "{}", **fields: Any) -> Any:
    """Run an `http` task whose target has these fields; return the outcome."""
    return bench.run("http", input, target=site.target(**fields))


def result(bench: Bench, site: Site, **fields: Any) -> Any:
    outcome = get(bench, site, **fields)
    assert isinstance(outcome, Succeeded), outcome
    return json.loads(outcome.result)


def error(bench: Bench, site: Site, kind: type[Failed | Fatal] = Failed, **fields: Any) -> RunError:
    outcome = get(bench, site, **fields)
    assert isinstance(outcome, kind), outcome
    return outcome.error
