"""An authorization server on the loopback, and what it guards, in one: `/token` issues tokens, other paths need one."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from rota.domain.http_target.target import Target
from rota.domain.primitives.ids import random_id


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Issuer:
    """It issues `token-1`, `token-2`, …; only those in `valid` are accepted."""

    port: int = 0
    expires_in: Any = 3_600
    #: Of this server alone: tokens are kept longer than it lives.
    client_id: str = field(default_factory=lambda: f"rota {random_id()}")
    #: What it answers in place of a token.
    answers: Callable[[], Answer] | None = None
    #: What a call with an unknown token gets.
    refusal: Answer = field(default_factory=lambda: Answer(401, b""))
    asked: list[tuple[dict[str, str], dict[str, str]]] = field(default_factory=list)
    called: list[dict[str, str]] = field(default_factory=list)
    valid: set[str] = field(default_factory=set)
    issuing: threading.Event = field(default_factory=threading.Event)
    #: Sends its answer one byte at a time, for ever.
    drips: bool = False
    over: threading.Event = field(default_factory=threading.Event)
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def token_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/token"

    def target(self, auth: dict[str, Any] | None = None, **fields: Any) -> Target:
        oauth = {
            "type": "oauth2",
            "token_url": self.token_url,
            "client_id": self.client_id,
            "client_secret": "{{ secret.client }}",
        }
        url = f"http://127.0.0.1:{self.port}/"
        return Target.model_validate({"url": url, "auth": oauth | (auth or {})} | fields)

    def says(self, status: int, document: Any, **headers: str) -> None:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers = lambda: Answer(status, body, named)

    def issue(self) -> Answer:
        token = f"token-{next(self.numbers)}"
        self.valid.add(token)
        document = {"access_token": token, "token_type": "Bearer", "expires_in": self.expires_in}
        if self.expires_in is None:
            del document["expires_in"]
        return Answer(200, json.dumps(document).encode(), {"Content-Type": "application/json"})


class _Exchange(BaseHTTPRequestHandler):
    issuer: ClassVar[Issuer]

    def do_POST(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers["content-length"]))
        answer = self._token(headers, body) if self.path == "/token" else self._guarded(headers)
        with suppress(ConnectionError):  # of a client that has had enough
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)
            while self.path == "/token" and self.issuer.drips and not self.issuer.over.wait(0.02):
                self.wfile.write(b" ")

    def _token(self, headers: dict[str, str], body: bytes) -> Answer:
        self.issuer.asked.append((headers, dict(parse_qsl(body.decode(), strict_parsing=True))))
        self.issuer.issuing.wait(20)
        return self.issuer.answers() if self.issuer.answers else self.issuer.issue()

    def _guarded(self, headers: dict[str, str]) -> Answer:
        self.issuer.called.append(headers)
        known = headers.get("authorization", "").removeprefix("Bearer ") in self.issuer.valid
        return Answer(200, json.dumps(headers).encode()) if known else self.issuer.refusal

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


@contextmanager
def issuing() -> Iterator[Issuer]:
    issuer = Issuer()
    issuer.issuing.set()
    exchange = type("Exchange", (_Exchange,), {"issuer": issuer})
    with _Server(("127.0.0.1", 0), exchange) as server:
        issuer.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield issuer
        issuer.over.set()
        issuer.issuing.set()
        server.shutdown()
        thread.join()
