"""The handlers of an invented shop, whose dashboard the README shows."""

import asyncio
from typing import Any

from pydantic import BaseModel

from rota import Context, Fail, handler


class Work(BaseModel):
    """How long it takes, and in which minutes of the hour it fails."""

    seconds: float = 1
    fails_in: list[int] = []


async def _work(ctx: Context, input: Work) -> dict[str, Any]:
    count = await ctx.kv.increment("runs", 1)
    await asyncio.sleep(input.seconds * (0.7 + count * 7 % 10 / 15))
    if ctx.scheduled_for.minute in input.fails_in:
        raise ConnectionError("503 from api.crm.example.com")
    return {"runs": count}


@handler("sync-crm", timeout="2m")
async def sync_crm(ctx: Context, input: Work) -> dict[str, Any]:
    """Copy what has changed in the CRM."""
    return await _work(ctx, input)


@handler("watch-orders", timeout="1m")
async def watch_orders(ctx: Context, input: Work) -> dict[str, Any]:
    """Look for new orders."""
    return await _work(ctx, input)


@handler("send-invoices", timeout="5m")
async def send_invoices(ctx: Context, input: Work) -> dict[str, Any]:
    """Send the invoices of the orders."""
    return await _work(ctx, input)


@handler("refresh-prices", timeout="5m")
async def refresh_prices(ctx: Context, input: Work) -> dict[str, Any]:
    """Ask the suppliers for their prices."""
    return await _work(ctx, input)


@handler("export-ledger", timeout="5m")
async def export_ledger(ctx: Context) -> None:
    """Hand the ledger over to the bank."""
    raise Fail("the bank refuses the certificate: it expired yesterday")


@handler("tell-ops", timeout="1m")
async def tell_ops(ctx: Context, input: dict[str, Any]) -> None:
    """Stand in for a notifier."""
