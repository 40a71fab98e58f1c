"""The key-value table over HTTP: the same requests to each of several servers, in turn."""

import time
from collections.abc import Mapping

from benchmarks.client import ask
from benchmarks.clients import load, middle
from benchmarks.load import Answered
from benchmarks.traffic import COUNTED, COUNTERS, counter_key, fill, kv_path

#: What a report calls them.
TITLES = {
    "get": "get",
    "put": "put",
    "increment": "increment",
    "transact": "transaction of 3 operations",
}
Rates = dict[str, Answered]


def over_http(
    ports: Mapping[str, int], rounds: int, seconds: float, enough: float
) -> dict[str, Rates]:
    """Return, by server and operation, what came of the loads; every round loads each server with each of them.

    No further round begins after `enough` seconds.
    """
    for port in ports.values():
        ask(port, "POST", kv_path("transaction"), fill())
    found: dict[tuple[str, str], list[Answered]] = {
        (name, operation): [] for name in ports for operation in TITLES
    }
    until = time.monotonic() + enough
    for number in range(rounds):
        if number and time.monotonic() > until:
            break
        for operation in TITLES:
            for name, port in ports.items():
                found[name, operation].append(load(port, operation, seconds))
    for name, port in ports.items():
        _check_counters(port, {operation: found[name, operation] for operation in COUNTED})
    return {
        name: {operation: middle(found[name, operation]) for operation in TITLES} for name in ports
    }


def _check_counters(port: int, found: Mapping[str, list[Answered]]) -> None:
    """Look whether every increment that was answered has been counted, once."""
    for operation, rounds in found.items():
        counted = sum(_count(port, counter_key(operation, each)) for each in range(COUNTERS))
        answered = sum(each.requests for each in rounds)
        assert counted == answered, f"{counted} of {answered} increments were counted"


def _count(port: int, key: str) -> int:
    return int(ask(port, "GET", kv_path(key))["value"])
