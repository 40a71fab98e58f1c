"""All that the author of a handler imports.

    from app.sdk import Context, handler

    @handler("watch-feed", timeout="30s")
    async def watch_feed(ctx: Context, input: Feed) -> dict:
        seen = await ctx.kv.get("last_id", 0)
        ...
        await ctx.kv.set("last_id", newest)  # commits with the run's success
        return {"new": count}  # any JSON

Return a value to succeed, raise `Retry` to be tried again, `Fail` to fail for good; any other exception is
retried while attempts are left. An `async def` runs on the handlers' event loop, a `def` in a thread (its
context is a `SyncContext`), and either in a process of its own with `isolation="process"`.

`app.sdk.testing` runs handlers in a test: by their schedules, in no time.
"""

from app.domain.kv import CheckFailed
from app.sdk.asking import Fail, Retry
from app.sdk.contexts import Context, RunInfo, SyncContext
from app.sdk.declaring import Handler, Isolation, handler, handler_of
from app.sdk.drafts import AttemptDraft, KvConflict, KvRefused
from app.sdk.journals import Journal, Log
from app.sdk.kv import Kv, KvTable, SyncKv, SyncKvTable
from app.sdk.registering import SyncTasks, Tasks
from app.sdk.stopping import Stop, StopReason

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
