"""The client for Python.

    from rota.client import Rota

    with Rota() as rota:
        rota.tasks.declare("greet", handler="hello", schedule={"type": "interval", "every": "1h"})
        print(rota.task("greet").run().result(timeout=30))

`AsyncRota` is the same for `async` code.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
from rota.client.outcomes import Fail, Retry
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
from rota.client.worker_handler import WorkerHandler

if TYPE_CHECKING:
    from rota.client.aio.rota import AsyncRota
    from rota.client.aio.work.attempt import AsyncWorkContext
    from rota.client.sync.rota import Rota
    from rota.client.sync.work.attempt import WorkContext

__all__ = [
    "AsyncRota",
    "AsyncWorkContext",
    "BackPressure",
    "Conflict",
    "Event",
    "Fail",
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
    "Retry",
    "Rota",
    "RotaError",
    "RunCancelled",
    "RunFailed",
    "RunNotSucceeded",
    "RunSkipped",
    "Unauthorized",
    "Unavailable",
    "Unreachable",
    "WorkContext",
    "WorkerHandler",
]

# Few programs use both halves, and each takes a while to import.
_HALVES = {
    "AsyncRota": "rota.client.aio.rota",
    "AsyncWorkContext": "rota.client.aio.work.attempt",
    "Rota": "rota.client.sync.rota",
    "WorkContext": "rota.client.sync.work.attempt",
}


def __getattr__(name: str) -> Any:
    """Import a half of the client when it is asked for; raises AttributeError for what is not exported."""
    if name not in _HALVES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HALVES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
