"""Constraints for tests of the checker, and rounds of it."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from rota.engine.checks.constraint_checker import ConstraintChecker
from tests.egress.guards import loopback_guard
from tests.engine.service import Service
from tests.support.factories import World, eventually

Serve = Callable[..., Service]
READY = {"type": "kv", "key": "ready", "equals": True}
CALM = {"type": "max_load", "load": 0.5}
INTERVAL = 5.0
on_sqlite = pytest.mark.parametrize("database_engine", ["sqlite"], indirect=True)
#: So long that only a wake-up, or a known time, can have caused a round.
NEVER = 3_600


def checking(world: World, load: Callable[[], float | None] = lambda: 0.1) -> ConstraintChecker:
    return ConstraintChecker(
        world.database, world.writer, world.clock, INTERVAL, loopback_guard(), load
    )


def register(on: Any, name: str = "t", *constraints: dict[str, Any], **fields: Any) -> None:
    defaults = {"schedule": {"type": "manual"}, "overlap_policy": "allow"}
    on.register(name, constraints=list(constraints), **defaults | fields)


def look(checker: ConstraintChecker) -> None:
    """Make a round, and another one when the probes have answered."""
    checker.check()
    eventually(lambda: not checker._prober._in_progress)
    checker.check()


def waits_for(on: Any, name: str = "t") -> list[str]:
    """Return what the runs of a task wait for, or their status if they do not wait."""
    return [",".join(run.waiting_on) or run.status for run in on.runs(name)]


@contextmanager
def listening() -> Iterator[int]:
    """A port that accepts connections and never sends anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def closed_port() -> int:
    with listening() as port:
        return port


def port_constraint(port: int, **fields: Any) -> dict[str, Any]:
    return {"type": "reachable", "host": "127.0.0.1", "port": port, **fields}
