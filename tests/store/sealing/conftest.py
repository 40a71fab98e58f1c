"""Worlds that open one database with different keys."""

from collections.abc import Callable, Iterator

import pytest

from rota.db.encryption import Keyring
from tests.support.factories import World

Open = Callable[[dict[str, bytes]], World]
OLD, NEW = {"k1": bytes(range(32))}, {"k2": bytes(range(32, 64))}


@pytest.fixture
def opened(migrated_database_url: str) -> Iterator[Open]:
    """Open the same database with these keys, one world after the other."""
    worlds: list[World] = []

    def open_with(keys: dict[str, bytes]) -> World:
        if worlds:
            worlds.pop().close()
        worlds.append(World(migrated_database_url, keyring=Keyring(keys) if keys else None))
        return worlds[0]

    yield open_with
    for world in worlds:
        world.close()
