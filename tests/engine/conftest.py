from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rota.engine.checks.constraint_checker import ConstraintChecker
from tests.engine.constraints import checking
from tests.engine.service import Service
from tests.support.factories import World


@pytest.fixture
def world(migrated_database_url: str) -> Iterator[World]:
    made = World(migrated_database_url)
    yield made
    made.close()


@pytest.fixture
def checker(world: World) -> Iterator[ConstraintChecker]:
    """A checker of constraints, which is stopped at the end."""
    made = checking(world)
    yield made
    made.stop()


@pytest.fixture
def serve(migrated_database_url: str) -> Iterator[Callable[..., Service]]:
    """Start a service with some handlers (and settings); all are stopped at the end."""
    services: list[Service] = []

    def start(*handlers: Callable[..., Any], **settings: Any) -> Service:
        service = Service(migrated_database_url, *handlers, **settings)
        services.append(service)
        service.start()
        return service

    yield start
    for service in services:
        service.stop()
