"""The SDK: what authors of handlers import.

    from rota import Context, handler

    @handler("watch-feed", timeout="30s")
    async def watch_feed(ctx: Context, input: Feed) -> dict:
        seen = await ctx.kv.get("last_id", 0)
        ...
        await ctx.kv.set("last_id", newest)  # commits with the run's success
        return {"new": count}  # any JSON

Return a value to succeed, raise `Retry` for another attempt, `Fail` to fail the run; any other exception is
retried while attempts are left. An `async def` runs on the handlers' event loop, a `def` in a thread (its
context is a `SyncContext`), and either in a process of its own with `isolation="process"`.

`rota.testing` runs handlers in tests: by their schedules, on a fake clock.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rota.domain.kv.entries import CheckFailed
    from rota.sdk.attempt_draft import AttemptDraft, KvConflict, KvRefused
    from rota.sdk.contexts import Context, RunInfo, SyncContext
    from rota.sdk.decorator import Handler, Isolation, handler, handler_of
    from rota.sdk.exceptions import Fail, Retry
    from rota.sdk.kv import Kv, KvTable
    from rota.sdk.log import Journal, Log
    from rota.sdk.stop import Stop, StopReason
    from rota.sdk.sync import SyncKv, SyncKvTable, SyncTasks
    from rota.sdk.tasks import Tasks

__all__ = [
    "AttemptDraft",
    "CheckFailed",
    "Context",
    "Fail",
    "Handler",
    "Isolation",
    "Journal",
    "Kv",
    "KvConflict",
    "KvRefused",
    "KvTable",
    "Log",
    "Retry",
    "RunInfo",
    "Stop",
    "StopReason",
    "SyncContext",
    "SyncKv",
    "SyncKvTable",
    "SyncTasks",
    "Tasks",
    "handler",
    "handler_of",
]

# Imported when they are asked for: the command line and `rota.client` need none of them, and they take half a second.
_MODULES = {
    "rota.domain.kv.entries": ("CheckFailed",),
    "rota.sdk.attempt_draft": (
        "AttemptDraft",
        "KvConflict",
        "KvRefused",
    ),
    "rota.sdk.contexts": (
        "Context",
        "RunInfo",
        "SyncContext",
    ),
    "rota.sdk.decorator": (
        "Handler",
        "Isolation",
        "handler",
        "handler_of",
    ),
    "rota.sdk.exceptions": (
        "Fail",
        "Retry",
    ),
    "rota.sdk.kv": (
        "Kv",
        "KvTable",
    ),
    "rota.sdk.log": (
        "Journal",
        "Log",
    ),
    "rota.sdk.stop": (
        "Stop",
        "StopReason",
    ),
    "rota.sdk.sync": (
        "SyncKv",
        "SyncKvTable",
        "SyncTasks",
    ),
    "rota.sdk.tasks": ("Tasks",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


if not TYPE_CHECKING:  # type checkers have the imports above, and report names that do not exist

    def __getattr__(name: str) -> Any:
        """Import what is asked for."""
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(import_module(_MODULE_OF[name]), name)
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
