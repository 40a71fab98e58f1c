"""Handlers that misbehave in every way that we could think of."""

import asyncio
import ctypes
import os
import signal
import sys
import threading
from typing import Any, Never

from rota import Context, SyncContext, handler

MEGABYTE = 1_048_576
_NEVER = threading.Event()


@handler("returns-set")
async def returns_set(ctx: Context) -> Any:
    return {1, 2}


@handler("returns-nan")
async def returns_nan(ctx: Context) -> Any:
    return {"a": float("nan")}


@handler("returns-surrogate")
async def returns_surrogate(ctx: Context) -> Any:
    return "\ud800"


@handler("returns-nul")
async def returns_nul(ctx: Context) -> Any:
    return ["a\x00b"]


@handler("returns-cycle")
async def returns_cycle(ctx: Context) -> Any:
    cycle: list[Any] = []
    cycle.append(cycle)
    return cycle


@handler("returns-deep")
async def returns_deep(ctx: Context) -> Any:
    deep: list[Any] = []
    for _ in range(100):
        deep = [deep]
    return deep


@handler("returns-self")
def returns_self(ctx: SyncContext) -> Any:
    return ctx


@handler("returns-megabytes")
async def returns_megabytes(ctx: Context) -> Any:
    return "x" * (2 * MEGABYTE)


@handler("raises")
async def raises(ctx: Context) -> Never:
    raise RuntimeError("broken")


@handler("raises-system-exit")
def raises_system_exit(ctx: SyncContext) -> Never:
    sys.exit(3)


@handler("raises-interrupt")
async def raises_interrupt(ctx: Context) -> Never:
    raise KeyboardInterrupt


@handler("raises-cancelled")
async def raises_cancelled(ctx: Context) -> Never:
    raise asyncio.CancelledError


class _UnspeakableError(RuntimeError):
    def __str__(self) -> str:
        raise ValueError("no text")


@handler("raises-unspeakable")
async def raises_unspeakable(ctx: Context) -> Never:
    raise _UnspeakableError


@handler("raises-megabyte")
async def raises_megabyte(ctx: Context) -> Never:
    raise ValueError("x\x00\ud800" * MEGABYTE)


@handler("recurses")
def recurses(ctx: SyncContext) -> Any:
    return recurses(ctx)


@handler("prints-megabyte")
def prints_megabyte(ctx: SyncContext) -> None:
    for _ in range(1_024):
        print("x" * 1_023)  # noqa: T201


@handler("prints-rubbish")
def prints_rubbish(ctx: SyncContext) -> None:
    print("before \x00 \ud800 after")  # noqa: T201


@handler("hangs")
async def hangs(ctx: Context) -> None:
    await asyncio.Event().wait()


@handler("hangs-in-thread")
def hangs_in_thread(ctx: SyncContext) -> None:
    # It never looks at `ctx.cancelled`; it ends some time so that the tests can.
    _NEVER.wait(10)


@handler("hangs-in-process", isolation="process")
def hangs_in_process(ctx: SyncContext) -> None:
    _NEVER.wait()


@handler("ignores-cancel")
async def ignores_cancel(ctx: Context) -> None:
    for _ in range(5):
        try:
            await asyncio.sleep(3)
        except asyncio.CancelledError:
            continue


@handler("blocks")
async def blocks(ctx: Context) -> None:
    _NEVER.wait(2)


@handler("blocks-for-good")
async def blocks_for_good(ctx: Context) -> None:
    _NEVER.wait()


@handler("in-thread")
def in_thread(ctx: SyncContext) -> None:
    """Run beside a blocked loop."""


@handler("exits", isolation="process")
def exits(ctx: SyncContext) -> None:
    os._exit(0)


@handler("kills-itself", isolation="process")
def kills_itself(ctx: SyncContext) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@handler("segfaults", isolation="process")
def segfaults(ctx: SyncContext) -> None:
    ctypes.string_at(0)


@handler("writes-reserved")
async def writes_reserved(ctx: Context) -> None:
    await ctx.kv.set("good", 1)
    await ctx.kv.set("_result", 2)


@handler("writes-megabyte")
async def writes_megabyte(ctx: Context) -> None:
    await ctx.kv.set("good", 1)
    await ctx.kv.set("big", "x" * MEGABYTE)
