"""What the tasks of these tests run. Each leaves a trace in its task's kv that shows every effect it had."""

import asyncio
import os
import re
from pathlib import Path
from typing import Any

from rota import Context, SyncContext, handler


@handler("count")
async def count(ctx: Context) -> int:
    """Count the runs, and keep their ids."""
    number: int = await ctx.kv.get("count", 0) + 1
    runs: list[str] = await ctx.kv.get("runs", [])
    await ctx.kv.set("count", number)
    await ctx.kv.set("runs", [*runs, str(ctx.run_id)])
    return number


@handler("count-slowly")
async def count_slowly(ctx: Context) -> int:
    """The same, with time between reading and writing."""
    number: int = await ctx.kv.get("count", 0) + 1
    runs: list[str] = await ctx.kv.get("runs", [])
    await asyncio.sleep(0.25)
    await ctx.kv.set("count", number)
    await ctx.kv.set("runs", [*runs, str(ctx.run_id)])
    return number


@handler("count-in-thread")
def count_in_thread(ctx: SyncContext) -> int:
    """The same, in a thread."""
    number: int = ctx.kv.get("count", 0) + 1
    ctx.kv.set("runs", [*ctx.kv.get("runs", []), str(ctx.run_id)])
    ctx.kv.set("count", number)
    return number


@handler("count-in-process", isolation="process")
def count_in_process(ctx: SyncContext) -> int:
    """The same, in a process."""
    return count_in_thread(ctx)


@handler("wait-for-file")
async def wait_for_file(ctx: Context, input: str) -> int:
    """End when there is a file, and return the attempt."""
    print("waiting")  # noqa: T201
    while not Path(input).exists():  # noqa: ASYNC110, ASYNC240  # another process makes it
        await asyncio.sleep(0.01)
    return ctx.attempt


@handler("fail")
async def fail(ctx: Context) -> None:
    """Fail each attempt."""
    raise ValueError("not today")


@handler("poison")
async def poison(ctx: Context) -> None:
    """Take the whole service down."""
    os._exit(1)


@handler("hold-the-interpreter")
def hold_the_interpreter(ctx: SyncContext) -> None:
    """Keep everything in this process from going on, for longer than anybody waits."""
    re.fullmatch("(a+)+b", "a" * 64)


@handler("write-five")
async def write_five(ctx: Context, input: bool) -> int:
    """Write five entries of this run's own, taking some time over them.

    If the input is true, then the first attempt has nothing left to do but to end, and does not: it waits for a kill.
    """
    for number in range(5):
        await ctx.kv.set(f"{ctx.run_id}:{number}", ctx.attempt)
        await asyncio.sleep(0.02)
    if input and ctx.attempt == 1:
        await asyncio.Event().wait()
    return ctx.attempt


@handler("fail-if")
async def fail_if(ctx: Context, input: bool) -> None:  # the input of its runs
    """Fail if the input says so, after a moment in which the process may be killed."""
    await asyncio.sleep(0.01)
    if input:
        raise ValueError(f"told to, in attempt {ctx.attempt}")


@handler("note-event")
async def note_event(ctx: Context, input: dict[str, Any]) -> None:
    """Keep the type of an event, and the run that caused it."""
    await asyncio.sleep(0.01)
    await ctx.kv.append("events", f"{input['type']} {input['data']['run']['id']}")
