"""Lanes: handlers that share slots."""

from collections import Counter
from dataclasses import dataclass, field

from rota.handlers.processes.process_calls import SUSPECTS_PER_PROCESS
from rota.handlers.registry import Registry
from rota.settings import Settings


@dataclass(slots=True)
class Lane:
    """Handlers that share slots: `per_queue` for each queue, `total` in all queues together (None: no limit).

    Suspects, that is runs that were lost with their process before, have a lane of their own.
    """

    handlers: tuple[str, ...]
    per_queue: int
    total: int | None = None
    suspects: bool = False
    taken: Counter[str] = field(default_factory=Counter)

    def free(self, queue: str) -> int:
        """Return how many more runs of `queue` can start now."""
        free = self.per_queue - self.taken[queue]
        return free if self.total is None else min(free, self.total - self.taken.total())

    def release(self, queue: str, slots: int = 1) -> None:
        """Make slots of `queue` free again."""
        self.taken[queue] -= slots
        if not self.taken[queue]:
            del self.taken[queue]


def lanes_of(registry: Registry, settings: Settings) -> list[Lane]:
    """Return the lanes of a process with these handlers."""
    heavy = tuple(name for name in registry if registry.lookup(name).kind == "process")
    light = tuple(name for name in registry if name not in heavy)
    slots = settings.process_concurrency
    most = slots * SUSPECTS_PER_PROCESS
    return [
        Lane(light, per_queue=settings.concurrency),
        Lane(heavy, per_queue=slots, total=slots),
        # All handlers, `http` too: the handler of a task may have changed since its run was lost.
        Lane(tuple(registry), per_queue=most, total=most, suspects=True),
    ]
