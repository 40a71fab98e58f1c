"""What the tasks of the cases run."""

import asyncio
from typing import Any

from rota import Context, Fail, handler


@handler("echo")
async def echo(ctx: Context, input: Any) -> Any:
    """Return the input."""
    return input


@handler("refuse")
async def refuse(ctx: Context) -> None:
    """Fail the run."""
    raise Fail("there is no such customer")


@handler("wait")
async def wait(ctx: Context) -> None:
    """Run until it is cancelled."""
    await asyncio.Event().wait()
