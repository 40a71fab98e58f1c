from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api import handlers
from tests.api.service import Api, serving


@pytest.fixture(params=["sqlite"])
def database_engine(request: pytest.FixtureRequest) -> str:
    """SQLite, for time; the marks `on_both` run a test or a file on PostgreSQL as well."""
    return str(request.param)


@pytest.fixture
def api(migrated_database_url: str) -> Iterator[Api]:
    with serving(migrated_database_url) as made:
        yield made


@pytest.fixture(autouse=True)
def gates(tmp_path: Path) -> Iterator[None]:
    """Every handler that waits at a gate is let through in the end."""
    yield
    handlers.open_all()
