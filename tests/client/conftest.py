"""A real service in a process of its own, one for each file, and clients of it over a real socket."""

from collections.abc import Awaitable, Callable, Iterator

import anyio
import pytest

from rota.client import AsyncRota, Rota
from tests.acceptance.launching import Forked
from tests.acceptance.server import Server

HANDLERS = "tests.api.handlers"


@pytest.fixture(params=["sqlite"])
def database_engine(request: pytest.FixtureRequest) -> str:
    """SQLite, for time; the mark `on_both` runs a test on PostgreSQL as well, with the long tests."""
    return str(request.param)


@pytest.fixture(scope="module")
def services(
    another_database: Callable[[str], str],
    forked: Forked,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], Server]]:
    """The services of this file, one for each kind of database, started when they are needed."""
    made: dict[str, Server] = {}

    def on(engine: str) -> Server:
        if engine not in made:
            folder = tmp_path_factory.mktemp("service")
            made[engine] = Server(forked, another_database(engine), folder, handlers=HANDLERS)
            made[engine].start()
        return made[engine]

    yield on
    for server in made.values():
        server.close()


@pytest.fixture
def service(services: Callable[[str], Server], database_engine: str) -> Server:
    """The service of this file."""
    return services(database_engine)


@pytest.fixture
def rota(service: Server) -> Iterator[Rota]:
    """A client of the service."""
    with Rota(service.url) as made:
        yield made


@pytest.fixture
def connected(service: Server) -> Callable[..., None]:
    """Run an `async` test with a client of the service."""

    def run(test: Callable[[AsyncRota], Awaitable[None]]) -> None:
        async def with_client() -> None:
            async with AsyncRota(service.url) as made:
                await test(made)

        anyio.run(with_client)

    return run
