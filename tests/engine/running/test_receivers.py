"""The receivers in examples/, called by a service: what they verify, and what they do once."""

import base64
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from rota.domain.http_target.signature import read_key, signature_headers
from rota.domain.runs.status import RunStatus
from rota.domain.secrets.opened import OpenedSecret
from rota.handlers.executor import Executor
from rota.handlers.http.handler import HTTP
from tests.engine.running.test_service import MANUAL, Serve
from tests.support.factories import eventually

EXAMPLES = Path(__file__).parents[3] / "examples" / "receivers"
NODE = shutil.which("node")
KEY = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OLD = "whsec_" + base64.b64encode(bytes(range(1, 33))).decode()
BILL = {"customer": "ada", "amount": 12}
INVOICE = b'{"customer":"eve","amount":1}'

Answer = tuple[int, bytes]


@dataclass
class Relay:
    """Stands between the service and a receiver; loses the receiver's first answer on the way."""

    receiver: int
    port: int = 0
    passed_on: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def send(self, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.receiver, timeout=20)
        try:
            connection.request("POST", "/invoices", body, headers)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return response.status, found, response.read()
        finally:
            connection.close()

    def answer(self, headers: dict[str, str], body: bytes = INVOICE) -> Answer:
        status, _, answer = self.send(headers, body)
        return status, answer


class _Exchange(BaseHTTPRequestHandler):
    relay: ClassVar[Relay]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.relay.passed_on.append((headers, body))
        status, found, answer = self.relay.send(headers, body)
        if len(self.relay.passed_on) == 1:
            self.send_error(503)
            return
        self.send_response(status)
        self.send_header("Content-Type", found.get("content-type", ""))
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def receiving(command: Sequence[str], folder: Path) -> Iterator[Relay]:
    """Run a receiver on a port of its own, and a relay before it."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    variables = os.environ | {
        "PORT": str(port),
        "WEBHOOK_KEY": KEY,
        "DATABASE": str(folder / "receiver.db"),
    }
    process = subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL)
    try:
        eventually(lambda: _listens(port), "the receiver does not listen")
        with _relaying(port) as relay:
            yield relay
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def _relaying(receiver: int) -> Iterator[Relay]:
    relay = Relay(receiver)
    exchange = type("Exchange", (_Exchange,), {"relay": relay})
    with ThreadingHTTPServer(("127.0.0.1", 0), exchange) as server:
        relay.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield relay
        server.shutdown()
        thread.join()


@pytest.fixture(
    scope="module",
    params=[
        pytest.param([sys.executable, str(EXAMPLES / "fastapi_receiver.py")], id="fastapi"),
        pytest.param(
            [str(NODE), str(EXAMPLES / "receiver.mjs")],
            id="node",
            marks=pytest.mark.skipif(NODE is None, reason="there is no `node` on this machine"),
        ),
    ],
)
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Relay]:
    with receiving(request.param, tmp_path_factory.mktemp("receiver")) as relay:
        yield relay


@pytest.fixture
def relay(shared: Relay) -> Relay:
    shared.passed_on.clear()
    return shared


@pytest.fixture
def with_a_key(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every attempt the key, in the midst of a rotation."""
    begin = Executor.begin
    secret = OpenedSecret("signing", KEY, OLD, (f"http://127.0.0.1:{relay.port}",))

    def begin_with_a_key(self: Executor, calls: Any, done: Any) -> None:
        for call in calls:
            call.run = replace(call.run, secrets=(secret,))
        begin(self, calls, done)

    monkeypatch.setattr(Executor, "begin", begin_with_a_key)


@pytest.mark.parametrize("database_engine", ["sqlite"], indirect=True)
def test_a_call_whose_answer_is_lost_takes_effect_once_and_its_outcome_arrives(
    serve: Serve, relay: Relay, with_a_key: None
) -> None:
    service = serve(HTTP)
    target = {"url": f"http://127.0.0.1:{relay.port}/", "signature": {"secret": "signing"}}
    retry = {"initial_interval": 0.1, "jitter": False}
    service.register(handler="http", input=BILL, target=target, retry=retry, **MANUAL)

    run = service.ended(service.run_now().id)

    assert (run.status, run.attempt) == (RunStatus.SUCCEEDED, 2)
    (first, body), (second, again) = relay.passed_on
    assert json.loads(body) == json.loads(again) == BILL
    assert first["webhook-id"] == second["webhook-id"] == run.id
    # The receiver has made one invoice for both, and says so again.
    assert service.entries() == {"invoices": 1}
    status, outcome = relay.answer(_signed("another-run"))
    assert status == 200
    assert json.loads(run.result or "")["invoice"] == json.loads(outcome)["result"]["invoice"] - 1


def test_a_receiver_refuses_what_is_not_signed_by_its_key_now(relay: Relay) -> None:
    good = _signed("a-run")
    now = int(time.time())
    others = [
        {},
        good | {"webhook-id": "b-run"},
        good | {"webhook-timestamp": str(now - 1)},
        good | {"webhook-timestamp": "nan"},
        good | {"webhook-timestamp": "1e9"},
        good | {"webhook-signature": ""},
        good | {"webhook-signature": "v1,"},
        good | {"webhook-signature": "v1,\xff"},
        good | {"webhook-signature": good["webhook-signature"][:-1]},
        good | {"webhook-signature": good["webhook-signature"].swapcase()},
        _signed("a-run", key=OLD),
        _signed("a-run", at=now - 310),
        _signed("a-run", at=now + 310),
    ]

    assert [relay.answer(headers)[0] for headers in others] == [401] * len(others)
    assert relay.answer(good, INVOICE.replace(b"1", b"9"))[0] == 401
    assert relay.answer(good, INVOICE + b" ")[0] == 401
    assert relay.answer(good)[0] == 200
    by_both = f"{_signed('c', key=OLD)['webhook-signature']} {_signed('c')['webhook-signature']}"
    assert relay.answer(_signed("c") | {"webhook-signature": by_both})[0] == 200


def test_calls_of_a_run_that_come_at_once_take_effect_once(relay: Relay) -> None:
    answers: list[Answer] = []
    headers = _signed("one-run")
    threads = [
        threading.Thread(target=lambda: answers.append(relay.answer(headers))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(answers) == 8
    assert len(set(answers)) == 1
    assert answers[0][0] == 200


def test_the_page_shows_what_the_receivers_do() -> None:
    page = (EXAMPLES.parents[1] / "docs" / "http-auth.md").read_text()
    receivers = {
        "python": (EXAMPLES / "fastapi_receiver.py").read_text(),
        "js": (EXAMPLES / "receiver.mjs").read_text(),
    }
    shown = [
        line.strip()
        for language, code in re.findall(r"```(python|js)\n(.*?)```", page, re.DOTALL)
        for line in code.splitlines()
        if "standardwebhooks" not in code and line.strip() and not line.startswith('    """')
        if line.strip() not in receivers[language]
    ]

    assert shown == []


def _signed(run: str, *, key: str = KEY, at: int | None = None) -> dict[str, str]:
    seconds = int(time.time()) if at is None else at
    return signature_headers([read_key(key)], run, seconds, INVOICE)
