import shutil
from collections.abc import Iterator

import pytest

from tests.api.service import Api, serving
from tests.support.databases import ENGINES


@pytest.fixture(scope="module", params=ENGINES)
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Api]:
    """One service for all of these requests, since none of them leaves anything."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("bad") / "rota.db"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        url = f"sqlite:///{path}"
    else:
        server = request.getfixturevalue("postgres_server")
        url = server.create_database(template=request.getfixturevalue("postgres_template"))
    with serving(url) as made:
        made.task("t", handler="greet", input={"name": "Ada"})
        yield made


@pytest.fixture
def api(shared: Api) -> Iterator[Api]:
    """The service; in the end what was there must still be there, and nothing else."""
    before = shared.read("/v1/tasks/t")
    yield shared
    left = [name for name in shared.names() if name != "t"]
    for name in left:
        shared.delete(f"/v1/tasks/{name}")
    assert left == []
    assert shared.read("/v1/tasks/t") == before
    assert shared.items("/v1/runs") == shared.items("/v1/tasks/t/kv") == []
