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
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from rota.domain.http_target.signature import read_key, signature_headers
from tests.api.service import MANUAL, serving
from tests.api.test_encryption import OLD as SEALING
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
        "ROTA_SIGNING_KEYS": KEY,
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
        pytest.param([sys.executable, str(EXAMPLES / "receiver_kit.py")], id="kit"),
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


@pytest.mark.parametrize("database_engine", ["sqlite"], indirect=True)
def test_a_call_whose_answer_is_lost_takes_effect_once_and_its_outcome_arrives(
    migrated_database_url: str, relay: Relay
) -> None:
    origin = f"http://127.0.0.1:{relay.port}"
    task = {
        "handler": "http",
        "input": BILL,
        "target": {"url": f"{origin}/", "signature": {"secret": "signing"}},
        "retry": {"initial_interval": 0.1, "jitter": False},
        "schedule": MANUAL,
    }
    with serving(migrated_database_url, encryption_keys=(SEALING,)) as api:
        # The service signs with both keys: the receiver has the new one.
        api.put("/v1/secrets/signing", json={"value": OLD, "origins": [origin]}).raise_for_status()
        api.post("/v1/secrets/signing/rotate", json={"value": KEY}).raise_for_status()
        api.put("/v1/tasks/bill", json=task).raise_for_status()
        run = api.ended(api.run("bill"))
        invoices = api.read("/v1/tasks/bill/kv/invoices")["value"]

    assert (run["status"], run["attempt"]) == ("succeeded", 2), run
    (first, body), (second, again) = relay.passed_on
    assert json.loads(body) == json.loads(again) == BILL
    assert first["webhook-id"] == second["webhook-id"] == run["id"]
    assert [each["webhook-signature"].count("v1,") for each in (first, second)] == [2, 2]
    # The receiver has made one invoice for both, and says so again.
    assert invoices == 1
    status, outcome = relay.answer(_signed("another-run"))
    assert status == 200
    assert run["result"]["invoice"] == json.loads(outcome)["result"]["invoice"] - 1


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
    page = (EXAMPLES.parents[1] / "docs/reference/http/auth.md").read_text()
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
