"""The key-value table from handlers: many operations in a run, and one in each of many runs."""

from datetime import timedelta
from functools import partial

from benchmarks.client import ask
from benchmarks.handlers import KV_KEYS
from benchmarks.rota import Rota
from benchmarks.runs import rota_runs
from benchmarks.traffic import PATH

OPERATIONS_PER_RUN = len(KV_KEYS)
# What registering a task and filling its table may take.
_FILLING = tuple(timedelta(milliseconds=each) for each in (10, 40, 160))


def in_runs(rota: Rota, runs: int) -> dict[str, float]:
    """Return operations per second, by operation, where every run does many of them."""
    fill = partial(_fill, rota.port)
    rates = {
        "get": rota_runs(rota, "kv-gets", runs, prepare=fill, paces=_FILLING),
        "put": rota_runs(rota, "kv-sets", runs),
        "increment": rota_runs(rota, "kv-increments", runs),
    }
    return {operation: OPERATIONS_PER_RUN * rate for operation, rate in rates.items()}


def runs_with_one(rota: Rota, runs: int) -> dict[str, float]:
    """Return runs per second that commit one entry each, by what they do to it."""
    return {
        "increment": rota_runs(rota, "kv-increment", runs),
        "put": rota_runs(rota, "noop", runs),
    }


def _fill(port: int, task: str) -> None:
    operations = [{"op": "set", "key": key, "value": 1} for key in KV_KEYS]
    ask(port, "POST", f"{PATH}/{task}/kv/transaction", {"operations": operations})
