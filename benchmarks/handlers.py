"""Handlers that do next to nothing, so that what is measured is the service."""

from datetime import UTC, datetime

from rota import Context, SyncContext, handler

#: What the handlers of many operations read and write.
KV_KEYS = ("last", *(f"key-{number:02}" for number in range(1, 100)))


@handler("noop")
async def noop(ctx: Context) -> dict[str, bool]:
    await ctx.kv.set("last", 1)
    return {"done": True}


@handler("noop-def")
def noop_def(ctx: SyncContext) -> dict[str, bool]:
    ctx.kv.set("last", 1)
    return {"done": True}


@handler("report-lateness")
async def report_lateness(ctx: Context) -> float:
    """Return how many milliseconds after its fire time the handler was called."""
    return (datetime.now(UTC) - ctx.scheduled_for).total_seconds() * 1000


@handler("kv-gets")
async def kv_gets(ctx: Context) -> dict[str, bool]:
    for key in KV_KEYS:
        assert await ctx.kv.get(key) is not None, key
    return {"done": True}


@handler("kv-sets")
async def kv_sets(ctx: Context) -> dict[str, bool]:
    for number, key in enumerate(KV_KEYS):
        await ctx.kv.set(key, number)
    return {"done": True}


@handler("kv-increments")
async def kv_increments(ctx: Context) -> dict[str, bool]:
    for key in KV_KEYS:
        await ctx.kv.increment(key)
    return {"done": True}


@handler("kv-increment")
async def kv_increment(ctx: Context) -> dict[str, bool]:
    await ctx.kv.increment("last")
    return {"done": True}
