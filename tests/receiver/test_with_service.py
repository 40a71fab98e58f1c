"""The receiver kit, called by a real service over loopback."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr

from rota.client import Rota
from rota.main import create_app
from rota.receiver import Call, Fail, Receiver, Retry
from rota.settings import Settings
from tests.acceptance.server import free_port
from tests.api.test_encryption import OLD as SEALING
from tests.receiver.test_receiver import KEY
from tests.support.factories import eventually
from tests.support.routes import with_shared_routes

pytestmark = pytest.mark.slow


class Receiving:
    """An app of a user, on a port."""

    def __init__(self, rota: Rota) -> None:
        self.rota = rota
        self.port = free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        self.app = FastAPI()
        self.receiver = Receiver(KEY, url=rota.url, heartbeat_every=0.2)
        self.calls: list[tuple[str, int]] = []
        self._add_endpoints()
        self._add_endpoints_in_the_background()

    def _add_endpoints(self) -> None:
        @self.app.post("/page")
        @self.receiver.endpoint
        async def page(call: Call, input: dict[str, int]) -> dict[str, int]:
            self.calls.append(("page", call.attempt))
            cursor = call.kv.get("cursor", 0)
            call.kv.set("cursor", cursor + input["step"])
            return {"from": cursor}

        @self.app.post("/flaky")
        @self.receiver.endpoint
        async def flaky(call: Call) -> str:
            self.calls.append(("flaky", call.attempt))
            if call.attempt == 1:
                raise RuntimeError("broken")
            if call.attempt == 2:
                raise Retry(0, "not yet")
            raise Fail("never")

    def _add_endpoints_in_the_background(self) -> None:
        @self.app.post("/render")
        @self.receiver.endpoint(background=True)
        async def render(call: Call, input: dict[str, Any]) -> dict[str, Any]:
            self.calls.append(("render", call.attempt))
            await call.progress(0.4, "page 4 of 10")
            for _ in range(3 if input["pages"] else 10_000):
                await asyncio.sleep(0.15)
            call.kv.increment("pages", input["pages"])
            return input

        @self.app.post("/breaks")
        @self.receiver.endpoint(background=True)
        async def breaks(call: Call) -> None:
            self.calls.append(("breaks", call.attempt))
            if call.attempt == 1:
                raise RuntimeError("broken")
            raise Fail("never")

    def declare(self, name: str, path: str, **fields: Any) -> None:
        target = {"url": f"{self.origin}{path}", "signature": {"secret": "signing"}}
        target |= fields.pop("target", {})
        retry = {"initial_interval": 0.1, "jitter": False, "max_attempts": 5}
        body = {"handler": "http", "schedule": {"type": "manual"}, "target": target, "retry": retry}
        self.rota.tasks.declare(name, **body | fields)

    def run(self, name: str) -> str:
        return self.rota.task(name).run().id

    def read(self, run: str, wait: float = 0) -> dict[str, Any]:
        return dict(self.rota.request("GET", f"/v1/runs/{run}", query={"wait": wait}))

    def ended(self, run: str) -> dict[str, Any]:
        return self.read(run, wait=30)


@contextmanager
def listening(app: FastAPI, port: int) -> Iterator[None]:
    """Serve an app, in a thread."""
    config = uvicorn.Config(app, "127.0.0.1", port, log_level="critical")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        eventually(lambda: server.started, "the app does not listen")
        yield
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def rota(another_database: Callable[[str], str]) -> Iterator[Rota]:
    url, port = another_database("sqlite"), free_port()
    settings = Settings(
        database_url=url,
        port=port,
        encryption_keys=(SecretStr(SEALING),),
        drain_grace=0,
        log_level="warning",
    )
    with (
        listening(with_shared_routes(create_app(settings)), port),
        Rota(f"http://127.0.0.1:{port}") as rota,
    ):
        yield rota


@pytest.fixture(scope="module")
def receiving(rota: Rota) -> Iterator[Receiving]:
    made = Receiving(rota)
    with listening(made.app, made.port):
        rota.secrets.declare("signing", value=KEY, origins=[made.origin])
        yield made


def test_a_run_moves_its_cursor(receiving: Receiving) -> None:
    receiving.declare(
        "pager", "/page", target={"kv": ["cursor"]}, kv={"cursor": 5}, input={"step": 3}
    )

    results = [receiving.ended(receiving.run("pager"))["result"] for _ in range(2)]

    assert results == [{"from": 5}, {"from": 8}]
    assert receiving.rota.task("pager").kv["cursor"] == 11


def test_an_entry_that_the_target_does_not_send_fails_the_run(receiving: Receiving) -> None:
    receiving.declare("blind", "/page", input={"step": 3})

    run = receiving.ended(receiving.run("blind"))

    assert (run["status"], run["attempt"]) == ("failed", 1)
    assert "target.kv" in run["error"]["message"]


def test_exceptions_retries_and_failures_are_what_rota_makes_of_them(receiving: Receiving) -> None:
    receiving.declare("flaky", "/flaky")

    run = receiving.ended(receiving.run("flaky"))

    assert [each["outcome"] for each in run["attempts"]] == ["failed", "retry", "failed"]
    assert (run["status"], run["reason"], run["error"]["message"]) == ("failed", "fatal", "never")
    assert [call for call in receiving.calls if call[0] == "flaky"] == [
        ("flaky", n) for n in (1, 2, 3)
    ]


def test_a_target_that_is_not_signed_is_refused(receiving: Receiving) -> None:
    receiving.declare("unsigned", "/flaky", target={"signature": None})
    before = list(receiving.calls)

    run = receiving.ended(receiving.run("unsigned"))

    assert (run["status"], run["error"]["response"]["status"]) == ("failed", 401)
    assert receiving.calls == before


def test_work_in_the_background_reports_its_progress_and_its_outcome(receiving: Receiving) -> None:
    receiving.declare(
        "render", "/render", target={"async": True}, input={"pages": 10}, heartbeat_timeout=1
    )
    run = receiving.run("render")

    def progress() -> Any:
        return receiving.read(run)["progress"]

    assert eventually(progress, "no progress")["message"] == "page 4 of 10"
    ended = receiving.ended(run)

    assert (ended["status"], ended["result"], ended["attempt"]) == ("succeeded", {"pages": 10}, 1)
    assert receiving.rota.task("render").kv["pages"] == 10


def test_work_in_the_background_ends_when_its_run_is_cancelled(receiving: Receiving) -> None:
    receiving.declare("endless", "/render", target={"async": True}, input={"pages": 0})
    run = receiving.run("endless")
    works = receiving.receiver._background._works
    eventually(lambda: run in works, "it has not begun")

    receiving.rota.run(run).cancel()

    eventually(lambda: run not in works, "it continues")


def test_work_in_the_background_that_breaks_is_tried_again(receiving: Receiving) -> None:
    receiving.declare("breaks", "/breaks", target={"async": True})

    run = receiving.ended(receiving.run("breaks"))

    assert [each["outcome"] for each in run["attempts"]] == ["retry", "failed"]
    assert run["attempts"][0]["error"]["message"] == "RuntimeError in the receiver"
    assert run["error"]["message"] == "never"
