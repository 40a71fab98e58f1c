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
from tests.api.secrets.echo import echoing
from tests.contract.secrets import (
    TASKS,
    WITH_KEY,
    Present,
    declare,
    kept,
    logged,
    rows_of,
    settings_with_secrets,
)
from tests.support.factories import eventually
from tests.support.torture import Part, torture

HANDLERS = "tests.contract.handlers"
#: How long a request may take on a busy machine; each is made in a test with a timeout of its own.
PATIENCE = 60.0


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    """The origin of a server that says back the secrets that it is sent."""
    with echoing() as origin:
        yield origin


@pytest.fixture(
    scope="module",
    # Responses do not depend on the database; the suites of the store and the engine run on both.
    params=[
        "sqlite",
        pytest.param("postgresql", marks=[pytest.mark.postgres, torture(Part.POSTGRESQL)]),
    ],
)
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, target: str
) -> Iterator[str]:
    """The URL of a service with a key, on a real socket; in the end no secret is in its logs or its database."""
    folder = tmp_path_factory.mktemp("contract")
    if request.param == "sqlite":
        copyfile(request.getfixturevalue("sqlite_template"), folder / "rota.db")
        url = f"sqlite:///{folder / 'rota.db'}"
    else:
        server = request.getfixturevalue("postgres_server")
        url = server.create_database(template=request.getfixturevalue("postgres_template"))
    with (
        logged() as log,
        settings_with_secrets(url, target) as settings,
        listening(settings) as made,
    ):
        # Whatever tests run on it here: that nothing is found says something only where there is something.
        with httpx.Client(
            base_url=made, headers=WITH_KEY, timeout=PATIENCE, trust_env=False
        ) as own:
            declare(own, target)
        yield made
    files = b"".join(path.read_bytes() for path in folder.iterdir())
    places = {"log": "\n".join(log.lines).encode(), "rows": rows_of(url), "file": files}
    assert [place for place, content in places.items() if content and b"there" not in content] == []
    assert {place: kept(content) for place, content in places.items() if kept(content)} == {}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the long tests where none would be run: schemathesis generates its examples when it collects."""
    option = config.option
    are_run = option.markexpr != "not torture" and option.part != Part.POSTGRESQL
    return True if not are_run and collection_path.stem.endswith("_for_long") else None


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
def client(service: str) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=service, headers=WITH_KEY, timeout=PATIENCE, trust_env=False
    ) as made:
        yield made


@pytest.fixture
def present(client: httpx.Client, target: str, known: list[Present]) -> Present:
    """Tasks with a run, an entry and secrets; anew if another operation has deleted them."""
    paths = [*(f"/v1/tasks/{name}/kv/k" for name in TASKS), "/v1/secrets/there"]
    if not known or not all(client.get(path).is_success for path in paths):
        known[:] = [declare(client, target)]
    return known[0]


@pytest.fixture(scope="module")
def known(service: str) -> list[Present]:  # one for each service
    """What was declared at the service last."""
    return []
