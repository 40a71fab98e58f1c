from collections.abc import Iterator

import pytest

from tests.support.factories import World


@pytest.fixture
def world(migrated_database_url: str) -> Iterator[World]:
    made = World(migrated_database_url)
    yield made
    made.close()
