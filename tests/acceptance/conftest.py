from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.server import Server, processes_of
from tests.factories import eventually


@pytest.fixture
def serve(migrated_database_url: str, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Make servers on the test's database; none is left running, and none of their children."""
    made: list[Server] = []

    def make(kind: type[Server] = Server, **settings: Any) -> Server:
        made.append(kind(migrated_database_url, tmp_path, **settings))
        return made[-1]

    yield make
    for server in made:
        server.close()
    eventually(lambda: not processes_of(migrated_database_url), "a process is left")
