"""What the clients of a load ask for, by operation, without an end."""

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

PATH = "/v1/tasks"
#: The task whose table is read and written; Rota wants it registered.
TABLE = "table"
#: How many entries are read and written, and how many counters are counted with.
ENTRIES = 1_000
COUNTERS = 32
#: A transaction counts with counters of its own.
COUNTED = {"increment": "count", "transact": "seen"}
_SCHEDULES = (
    {"type": "interval", "every": "15m"},
    {"type": "once", "delay": "2h"},
    {"type": "cron", "expression": "0 9 * * 1-5", "timezone": "Europe/Berlin"},
)


@dataclass(frozen=True, slots=True)
class Request:
    """One request, its body in JSON."""

    method: str
    path: str
    body: bytes = b""


def kv_path(key: str) -> str:
    return f"{PATH}/{TABLE}/kv/{key}"


def entry_key(number: int) -> str:
    return f"entry-{number % ENTRIES:04}"


def counter_key(operation: str, number: int) -> str:
    return f"{COUNTED[operation]}-{number % COUNTERS:02}"


def value(number: int) -> dict[str, Any]:
    return {"last_id": number, "status": "delivered", "channels": ["mail", "push"]}


def fill() -> dict[str, Any]:
    """Return the body of one transaction that writes every entry."""
    keys = (entry_key(number) for number in range(ENTRIES))
    return {"operations": [_set(key, number) for number, key in enumerate(keys)]}


def _register(prefix: str, number: int) -> Request:
    task = {
        "name": f"{prefix}-{number}",
        "handler": "noop",
        "input": {"customer": number, "kind": "reminder", "channels": ["mail", "push"]},
        "schedule": _SCHEDULES[number % len(_SCHEDULES)],
        "retry": {"max_attempts": 5, "initial_interval": "30s"},
    }
    return Request("POST", PATH, json.dumps(task).encode())


def _get(_prefix: str, number: int) -> Request:
    return Request("GET", kv_path(entry_key(number)))


def _put(_prefix: str, number: int) -> Request:
    body = json.dumps({"value": value(number)}).encode()
    return Request("PUT", kv_path(entry_key(number)), body)


def _increment(_prefix: str, number: int) -> Request:
    return _transaction(_add("increment", number))


def _transact(_prefix: str, number: int) -> Request:
    key, second = entry_key(number), entry_key(number + ENTRIES // 2)
    return _transaction(_set(key, number), _add("transact", number), _set(second, number))


def _transaction(*operations: dict[str, Any]) -> Request:
    body = json.dumps({"operations": operations}).encode()
    return Request("POST", kv_path("transaction"), body)


def _set(key: str, number: int) -> dict[str, Any]:
    return {"op": "set", "key": key, "value": value(number)}


def _add(operation: str, number: int) -> dict[str, Any]:
    return {"op": "increment", "key": counter_key(operation, number), "by": 1}


_OPERATIONS: dict[str, Callable[[str, int], Request]] = {
    "register": _register,
    "get": _get,
    "put": _put,
    "increment": _increment,
    "transact": _transact,
}
OPERATIONS = tuple(_OPERATIONS)


def requests(operation: str, prefix: str) -> Iterator[Request]:
    """Yield requests of one kind; what they register is called `prefix` and a number."""
    make = _OPERATIONS[operation]
    return (make(prefix, number) for number in itertools.count())
