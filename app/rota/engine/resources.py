"""What the parts of the engine share."""

from dataclasses import dataclass

from rota.clock import Clock
from rota.db.engine import Database
from rota.db.writer import Writer
from rota.egress.guard import Guard
from rota.handlers.executor import Executor
from rota.handlers.registry import Registry
from rota.metrics import Metrics
from rota.settings import Settings


@dataclass(frozen=True, slots=True)
class Resources:
    """The objects of one process that its engine works with."""

    settings: Settings
    database: Database
    writer: Writer
    clock: Clock
    metrics: Metrics
    registry: Registry
    executor: Executor
    guard: Guard
