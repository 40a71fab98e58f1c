import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copyfile

import httpx
import pytest
import requests
import uvicorn

from rota.api.edge.limits import Limits, limits
from rota.api.edge.protocol import http_protocol
from rota.main import create_app
from rota.settings import Settings
from tests.support.factories import eventually

HANDLERS = "tests.contract.handlers"


@pytest.fixture(
    scope="module",
    # Responses do not depend on the database; the suites of the store and the engine run on both.
    params=[
        "sqlite",
        pytest.param("postgresql", marks=[pytest.mark.postgres, pytest.mark.torture]),
    ],
)
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of a service on a real socket."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("contract") / "rota.db"
        copyfile(request.getfixturevalue("sqlite_template"), path)
        url = f"sqlite:///{path}"
    else:
        server = request.getfixturevalue("postgres_server")
        url = server.create_database(template=request.getfixturevalue("postgres_template"))
    with listening(Settings(database_url=url, handlers=(HANDLERS,), drain_grace=0)) as made:
        yield made


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the long tests where none would be run: schemathesis generates its examples when it collects."""
    is_default = config.option.markexpr == "not torture"
    return True if is_default and collection_path.stem.endswith("_for_long") else None


@contextmanager
def listening(settings: Settings, bounds: Limits | None = None) -> Iterator[str]:
    """Serve in a thread of this process, on a port of its own."""
    config = uvicorn.Config(
        create_app(settings),
        http=http_protocol(bounds or limits(settings)),
        ws="none",
        port=0,
        log_config=None,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=3600,  # a connection is not closed while an example is generated
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        eventually(lambda: server.started or not thread.is_alive(), "the service does not start")
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def session(service: str) -> Iterator[requests.Session]:
    """A connection that stays open, from one that looks for no proxies: either costs more than most requests."""
    with requests.Session() as made:
        made.trust_env = False
        made.headers.clear()
        yield made


@pytest.fixture(scope="module")
def present(service: str) -> dict[str, str]:
    """A task with a run and an entry, by the names of the path parameters that lead to them."""
    with httpx.Client(base_url=service) as client:
        task = {"handler": "echo", "schedule": {"type": "manual"}, "overlap_policy": "allow"}
        assert client.put("/v1/tasks/there", json=task).status_code == 201
        run = client.post("/v1/tasks/there/run").json()["id"]
        assert client.get(f"/v1/runs/{run}?wait=20").json()["status"] == "succeeded"
        assert client.put("/v1/tasks/there/kv/k", json={"value": 1}).status_code == 201
    return {"name": "there", "key": "k", "id": run}
