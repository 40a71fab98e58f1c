"""The client for Python.

    from rota.client import Rota

    with Rota() as rota:
        rota.tasks.declare("greet", handler="hello", schedule={"type": "interval", "every": "1h"})
        print(rota.task("greet").run().result(timeout=30))

`AsyncRota` is the same for `async` code.
"""

from rota.client.aio.rota import AsyncRota
from rota.client.errors import (
    BackPressure,
    InvalidResponse,
    ProblemError,
    ResultTimeout,
    RotaError,
    RunCancelled,
    RunFailed,
    RunNotSucceeded,
    RunSkipped,
    Unreachable,
)
from rota.client.event import Event
from rota.client.problems import (
    Conflict,
    Forbidden,
    Invalid,
    KvConflict,
    NotFound,
    PreconditionFailed,
    QuotaExceeded,
    RateLimited,
    Unauthorized,
    Unavailable,
)
from rota.client.sync.rota import Rota

__all__ = [
    "AsyncRota",
    "BackPressure",
    "Conflict",
    "Event",
    "Forbidden",
    "Invalid",
    "InvalidResponse",
    "KvConflict",
    "NotFound",
    "PreconditionFailed",
    "ProblemError",
    "QuotaExceeded",
    "RateLimited",
    "ResultTimeout",
    "Rota",
    "RotaError",
    "RunCancelled",
    "RunFailed",
    "RunNotSucceeded",
    "RunSkipped",
    "Unauthorized",
    "Unavailable",
    "Unreachable",
]
