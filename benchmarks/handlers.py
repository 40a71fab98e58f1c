"""Handlers that do next to nothing, so that what is measured is the service."""

from datetime import UTC, datetime

from app.sdk import Context, SyncContext, handler


@handler("noop")
async def noop(ctx: Context) -> dict[str, bool]:
    await ctx.kv.set("last", 1)
    return {"done": True}


@handler("noop-def")
def noop_def(ctx: SyncContext) -> dict[str, bool]:
    ctx.kv.set("last", 1)
    return {"done": True}


@handler("tell-lateness")
async def tell_lateness(ctx: Context) -> float:
    """Return how many milliseconds after its fire time the handler was called."""
    return (datetime.now(UTC) - ctx.scheduled_for).total_seconds() * 1000
