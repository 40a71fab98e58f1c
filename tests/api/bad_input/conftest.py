from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import StaticPool, create_engine

from rota.db.tables import metadata
from tests.api.service import Api, serving


@dataclass(frozen=True)
class Shared:
    """One service for all of these requests, since none of them stores anything."""

    api: Api
    task: dict[str, Any]
    #: How many rows there are of each kind, and those of the tasks.
    stored: Callable[[], Any]


@pytest.fixture(scope="module", params=["sqlite"])
def shared(
    request: pytest.FixtureRequest, another_database: Callable[[str], str]
) -> Iterator[Shared]:
    """On SQLite; with the mark `on_both` on PostgreSQL as well.

    What is refused is refused before the database is asked, and would be accepted by SQLite if it was not.
    """
    url = another_database(request.param)
    engine = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=StaticPool)
    counts = ", ".join(f"(SELECT count(*) FROM {name})" for name in metadata.tables)

    def stored() -> Any:
        with engine.connect() as connection:
            counted = connection.exec_driver_sql(f"SELECT {counts}").one()
            return counted, connection.exec_driver_sql("SELECT * FROM task").all()

    with serving(url) as made:
        task = made.task("t", handler="greet", input={"name": "Ada"})
        yield Shared(made, task, stored)
    engine.dispose()


@pytest.fixture
def api(shared: Shared) -> Iterator[Api]:
    """The service; in the end it must have the same rows as before."""
    before = shared.stored()
    yield shared.api
    if shared.stored() != before:  # reading the rows takes far less time than requests
        check_what_is_left(shared)


def check_what_is_left(shared: Shared) -> None:
    """Check that all responses are as before; rows of tasks that the test has deleted may remain."""
    api = shared.api
    left = [name for name in api.names() if name != "t"]
    for name in left:
        api.delete(f"/v1/tasks/{name}")
    assert left == []
    assert api.read("/v1/tasks/t") == shared.task
    assert api.items("/v1/runs") == api.items("/v1/tasks/t/kv") == []
