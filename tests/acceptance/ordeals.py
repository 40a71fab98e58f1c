"""Ordeals: the service is killed at random moments, which a seed repeats."""

import os
import random
import threading

from tests.acceptance.server import Server


def seed() -> int:
    """Return the seed of an ordeal, that of ROTA_SEED or a new one; it is shown when the test fails."""
    chosen = int(os.environ.get("ROTA_SEED", "0")) or random.randrange(1, 2**32)
    print(f"again with ROTA_SEED={chosen}")  # noqa: T201
    return chosen


def kill_often(rota: Server, kills: int, dice: random.Random) -> None:
    """Kill the service so often, each time within half a second after its start."""
    for _ in range(kills):
        threading.Event().wait(dice.uniform(0, 0.5))
        rota.kill()
        rota.start()
