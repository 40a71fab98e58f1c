from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.api import handlers
from tests.api.service import Api, serving


@pytest.fixture(scope="session", autouse=True)
def brief_logs() -> None:
    """The tracebacks that structlog draws by itself take seconds."""
    shown = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[structlog.processors.add_log_level, shown])


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
