from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.programs import fast_rota


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder with the program `rota` that a reader has installed."""
    with fast_rota(tmp_path_factory.mktemp("bin") / "rota") as folder:
        yield folder
