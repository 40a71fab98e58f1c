from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.api import handlers
from tests.api.marks import shares_service
from tests.api.service import Api, serving


@pytest.fixture(params=["sqlite"])
def database_engine(request: pytest.FixtureRequest) -> str:
    """SQLite, for time; the marks in tests/api/marks.py run a test or a file on PostgreSQL as well."""
    return str(request.param)


@pytest.fixture(scope="module")
def shared_services(another_database: Callable[[str], str]) -> Iterator[Callable[[str], Api]]:
    """One service on each kind of database for those tests of a file that are marked to share it."""
    made: dict[str, Api] = {}
    with ExitStack() as stack:

        def on(engine: str) -> Api:
            if engine not in made:
                made[engine] = stack.enter_context(serving(another_database(engine)))
            return made[engine]

        yield on


@pytest.fixture
def api(request: pytest.FixtureRequest, database_engine: str) -> Iterator[Api]:
    """A service for this test; or one that it shares with others, since to start one takes longer than most tests."""
    if request.node.get_closest_marker(shares_service.name) is not None:
        yield request.getfixturevalue("shared_services")(database_engine)
        return
    with serving(request.getfixturevalue("migrated_database_url")) as made:
        yield made


@pytest.fixture(autouse=True)
def gates() -> Iterator[None]:
    """Every handler that waits at a gate is let through in the end."""
    yield
    handlers.open_all()
