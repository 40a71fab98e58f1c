from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.launching import Forked, Installed, Start
from tests.acceptance.server import Server, processes_of, refusal
from tests.support.databases import POSTGRESQL_AT_LENGTH
from tests.support.factories import eventually


@pytest.fixture(params=POSTGRESQL_AT_LENGTH)
def database_engine(request: pytest.FixtureRequest) -> str:
    """SQLite, and PostgreSQL with the long tests; parametrise it indirectly for what both show in the default suite."""
    return str(request.param)


@pytest.fixture
def serve(
    migrated_database_url: str, tmp_path: Path, forked: Forked
) -> Iterator[Callable[..., Server]]:
    """Make servers on the test's database; none is left running, and none of their children."""
    made: list[Server] = []

    def make(begin: Start = forked, **settings: Any) -> Server:
        made.append(Server(begin, migrated_database_url, tmp_path, **settings))
        return made[-1]

    yield make
    for server in made:
        server.close()
    eventually(lambda: not processes_of(migrated_database_url), "a process is left")


@pytest.fixture
def refused(forked: Forked, tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Run a service with settings that it cannot start with; get its exit code and output."""
    return partial(refusal, forked, tmp_path)


@pytest.fixture
def installed() -> Installed:
    """Start the program that the distribution installs."""
    return Installed()
