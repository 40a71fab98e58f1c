"""The examples of docs/reference/client.md, against a real service."""

import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rota.client import AsyncRota, Invalid, Rota
from rota.client.sync.work.worker import Worker
from tests.acceptance.launching import ROOT, Forked
from tests.acceptance.server import Server
from tests.client.test_sync_half import methods

PAGE = ROOT / "docs" / "reference" / "client.md"
PATIENCE = 30


@pytest.fixture
def service(
    another_database: Callable[[str], str], forked: Forked, tmp_path: Path
) -> Iterator[Server]:
    handlers = ROOT / "examples" / "handlers.py"
    server = Server(forked, another_database("sqlite"), tmp_path, handlers=handlers)
    server.start()
    yield server
    server.close()


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> list[Worker]:
    """The worker of the page, which runs in a thread here."""
    made: list[Worker] = []
    run = Worker.run

    def begin(self: Worker) -> None:
        made.append(self)
        threading.Thread(target=run, args=(self,)).start()

    monkeypatch.setattr(Worker, "run", begin)
    return made


def test_every_example_of_the_page_does_what_it_says(
    service: Server, worker: list[Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROTA_URL", service.url)
    text = PAGE.read_text().replace('Rota("http://127.0.0.1:8000")', "Rota()")
    namespace: dict[str, Any] = {"__name__": "page"}
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)

    for number, block in enumerate(blocks):
        exec(compile(block, f"{PAGE.name}, block {number}", "exec"), namespace)

    rota: Rota = namespace["rota"]
    try:
        assert rota.task("greet").kv["stock"] == 3
        assert rota.task("greet").kv["cursor"] == 8815
        rota.tasks.declare(
            "words",
            handler="count-words",
            queue="words",
            input={"text": "a b"},
            schedule={"type": "manual"},
        )
        assert rota.task("words").run().result(timeout=PATIENCE) == {"words": 2}
        with pytest.raises(Invalid):
            rota.task("words").run({})
    finally:
        worker[0].stop()
        rota.close()


def test_the_table_of_namespaces_has_every_method() -> None:
    rows = dict(re.findall(r"^\| ((?:`rota\.[^|]+`)+) \| (.*) \|$", PAGE.read_text(), re.MULTILINE))
    documented = {
        f"{namespace}.{method}"
        for names, listed in rows.items()
        for namespace in re.findall(r"`rota\.(\w+)", names)
        for method in re.findall(r"`(\w+)", listed)
    }
    with Rota("http://localhost:1") as rota:
        shown = set(methods(rota))
        shown |= {f"task.{name}" for name in [*methods(rota.task("t")), "kv"]}
        shown |= {f"run.{name}" for name in methods(rota.run("r"))}
    own = {"close", "request", "run", "task", "worker"}

    assert documented == {name for name in shown if name not in own and ".kv." not in name}
    assert AsyncRota.worker.__doc__
