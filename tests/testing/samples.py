"""Schedules and handlers that the tests of the driver share."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, Field

from rota import Context, Fail, Retry, SyncContext, handler

START = "2026-03-01T00:00:00Z"


DAILY = {"type": "cron", "expression": "0 9 * * *"}


HOURLY = {"type": "interval", "every": "1h"}


EXACT = {"max_attempts": 3, "initial_interval": 10, "multiplier": 2, "jitter": False}


class Order(BaseModel):
    number: int = Field(1, ge=1)


@handler("count")
async def count(ctx: Context) -> dict[str, int]:
    """Count the runs of the task."""
    cursor = await ctx.kv.get("cursor", 0) + 1
    await ctx.kv.set("cursor", cursor)
    return {"cursor": cursor}


@handler("count-sync", isolation="process")
def count_sync(ctx: SyncContext) -> dict[str, int]:
    cursor = ctx.kv.get("cursor", 0) + 1
    ctx.kv.set("cursor", cursor)
    return {"cursor": cursor}


@handler("order")
def order(ctx: SyncContext, input: Order) -> int:
    return input.number * 2


@handler("raises")
async def raises(ctx: Context, input: Any) -> Any:
    """Execute the step of the input for each attempt."""
    await ctx.kv.set("attempt", ctx.attempt)
    await ctx.tasks.register(name=f"a{ctx.attempt}", handler="raises", schedule={"type": "manual"})
    match input[ctx.attempt - 1]:
        case "fail":
            raise Fail("no such customer")
        case "retry":
            raise Retry("5m", "the feed is down")
        case "error":
            raise ValueError("broken")
        case result:
            return result


@handler("sleeps")
async def sleeps(ctx: Context, input: float) -> float:
    began = asyncio.get_running_loop().time()
    await asyncio.sleep(input)
    return asyncio.get_running_loop().time() - began


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-{text}").replace(tzinfo=UTC)
