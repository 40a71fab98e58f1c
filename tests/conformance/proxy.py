"""A proxy between client and service: it compares requests with what is expected, and adds faults to the replies."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.conformance.cases import Exchange, Reply, WireRequest
from tests.conformance.matching import ABSENT, Variables, differences

PATIENCE = 60.0
_EARLY = 0.02  # a client's timer may end so much before ours
_NOT_PASSED_ON = {"connection", "content-length", "keep-alive", "transfer-encoding"}


class Seen:
    """A request as it arrived."""

    def __init__(self, method: str, target: str, headers: dict[str, str], body: bytes) -> None:
        url = urlsplit(target)
        self.method, self.target, self.headers, self.raw = method, target, headers, body
        self.path = unquote(url.path)
        self.query = dict(parse_qsl(url.query, keep_blank_values=True))
        self.body = _parsed(body)


def _parsed(body: bytes) -> Any:
    if not body:
        return ABSENT
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")


class Script:
    """What is expected of the requests of one step, in order; the faults found are in `faults`."""

    def __init__(
        self,
        exchanges: Sequence[Exchange] | None,
        besides: Sequence[WireRequest],
        variables: Variables,
    ) -> None:
        self.faults: list[str] = []
        self._besides = besides
        self._variables = variables
        self._left = None if exchanges is None else list(exchanges)
        self._lock = threading.Lock()
        self._replied_at = 0.0

    def next(self, seen: Seen) -> Exchange | None:
        """Compare a request with the next one that is expected, and return that; None: it is passed on."""
        with self._lock:
            if self._left is None or self._may_be(seen):
                return None
            if not self._left:
                self.faults.append(f"a request too many: {seen.method} {seen.target}")
                return None
            expected = self._left.pop(0)
            self._compare(expected, seen)
            return expected

    def answered(self, expected: Exchange | None, status: int | None) -> None:
        """Note that a reply is sent, or (None) is lost."""
        with self._lock:
            self._replied_at = time.monotonic()
            if expected and expected.answered not in {None, status}:
                request = f"{expected.request.method} {expected.request.path}"
                self.faults.append(f"{request} is {status}, and not {expected.answered}")

    def end(self) -> list[str]:
        """Return all faults; a request that was not made is one."""
        with self._lock:
            missing = [
                f"not sent: {each.request.method} {each.request.path}" for each in self._left or ()
            ]
            return self.faults + missing

    def _may_be(self, seen: Seen) -> bool:
        return any(
            not list(_request_differences(each, seen, {**self._variables}))
            for each in self._besides
        )

    def _compare(self, expected: Exchange, seen: Seen) -> None:
        about = f"{seen.method} {seen.target}: "
        found = _request_differences(expected.request, seen, self._variables)
        self.faults += [about + each for each in found]
        waited = time.monotonic() - self._replied_at
        if waited < expected.waited - _EARLY:
            self.faults.append(f"{about}sent after {waited:.2f} s, and not {expected.waited} s")


def _request_differences(expected: WireRequest, seen: Seen, variables: Variables) -> Iterator[str]:
    yield from differences(expected.method, seen.method, variables, at="method")
    yield from differences(expected.path, seen.path, variables, at="path")
    yield from differences(expected.query, seen.query, variables, exact=True, at="query")
    yield from differences(expected.headers, seen.headers, variables, at="header")
    yield from differences(expected.body, seen.body, variables, exact=True, at="body")


class Proxy:
    """Passes on what it gets to the service, as the script of the step says."""

    def __init__(self, service: str) -> None:
        self.service = urlsplit(service)
        self.script = Script(None, (), {})
        self.url = ""


@contextmanager
def proxying(service: str) -> Iterator[Proxy]:
    """Run a proxy before the service at a URL."""
    proxy = Proxy(service)
    handler = type("Handler", (_Handler,), {"proxy": proxy})
    with _Server(("127.0.0.1", 0), handler) as server:
        proxy.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a client may keep its connections open
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        """A client that leaves, or a connection that was cut, is no error."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    proxy: ClassVar[Proxy]

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        seen = Seen(self.command, self.path, headers, body)
        script = self.proxy.script
        expected = script.next(seen)
        if expected and expected.reply:
            script.answered(expected, expected.reply.status)
            self._invented(expected.reply)
        elif expected and expected.cut == "before":
            script.answered(expected, None)
            self._cut()
        else:
            self._pass_on(seen, script, expected)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815

    def _invented(self, reply: Reply) -> None:
        body = b"" if reply.body is None else json.dumps(reply.body).encode()
        kind = "application/json" if reply.status < 400 else "application/problem+json"
        self._send(reply.status, {"content-type": kind} | reply.headers, body)

    def _pass_on(self, seen: Seen, script: Script, expected: Exchange | None) -> None:
        service = self.proxy.service
        connection = http.client.HTTPConnection(
            service.hostname or "", service.port, timeout=PATIENCE
        )
        try:
            connection.request(seen.method, seen.target, seen.raw or None, seen.headers)
            response = connection.getresponse()
            if "text/event-stream" in response.headers.get("content-type", ""):
                script.answered(expected, response.status)
                self._stream(response, expected.cut_after_events if expected else None)
            else:
                body = response.read()
                script.answered(expected, response.status)
                self._relay(response, body, expected)
        finally:
            connection.close()

    def _relay(
        self, response: http.client.HTTPResponse, body: bytes, expected: Exchange | None
    ) -> None:
        headers = {
            name.lower(): value
            for name, value in response.getheaders()
            if name.lower() not in _NOT_PASSED_ON
        }
        if expected and expected.cut == "after":
            self._cut()
        elif expected and expected.cut == "within":
            self._head(response.status, headers, len(body))
            self.wfile.write(body[: len(body) // 2])
            self._cut()
        else:
            added = expected.add if expected else None
            self._send(response.status, headers, _with(body, added) if added else body)

    def _stream(self, response: http.client.HTTPResponse, events: int | None) -> None:
        """Pass on a stream until it ends, the client leaves, or (`events`) so many events with data were sent."""
        self.send_response(response.status)
        self.send_header("content-type", response.headers["content-type"])
        self.send_header("connection", "close")
        self.end_headers()
        sent = 0
        while line := response.readline():
            self.wfile.write(line)
            self.wfile.flush()
            sent += line.startswith(b"data:")
            if events is not None and sent == events and line == b"\n":
                break
        self._cut()

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self._head(status, headers, len(body))
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: int, headers: dict[str, str], length: int) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != http.client.NO_CONTENT:
            self.send_header("content-length", str(length))
        self.end_headers()

    def _cut(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # the client was first


def _with(body: bytes, added: dict[str, Any]) -> bytes:
    """Return a reply with more fields, in its object and in each of its items."""
    value = json.loads(body)
    value.update(added)
    for item in value.get("items", ()):
        item.update(added)
    return json.dumps(value).encode()
