"""Three handlers to begin with; none needs the internet. `make run` serves them.

curl -X PUT localhost:8000/v1/tasks/greet -H 'content-type: application/json' -d '
  {"handler": "hello", "input": {"name": "Ada"}, "schedule": {"type": "interval", "every": "10s"}}'
"""

import shutil
from typing import Any

from pydantic import BaseModel, Field

from rota import Context, Fail, SyncContext, handler


class Greeting(BaseModel):
    """Whom to greet."""

    name: str = Field("world", min_length=1, max_length=100, examples=["Ada"])


@handler("hello", timeout="5s")
async def hello(ctx: Context, input: Greeting) -> dict[str, Any]:
    """Greet a person, and count the greetings in the task's kv."""
    greeting = f"Hello, {input.name}!"
    print(greeting)  # kept with the run, as all that a handler prints or logs
    times = await ctx.kv.get("greetings", 0) + 1
    await ctx.kv.set("greetings", times)  # commits with this run's success, or not at all
    return {"greeting": greeting, "times": times}


class Disk(BaseModel):
    """The disk to measure, and how many measurements to keep."""

    path: str = Field("/", examples=["/"])
    keep: int = Field(24, ge=1, le=1_000)


@handler("disk-report", timeout="30s")
def disk_report(ctx: SyncContext, input: Disk) -> dict[str, Any]:
    """Measure the free space of a disk; the kv entry `history` holds the latest measurements."""
    try:
        usage = shutil.disk_usage(input.path)
    except FileNotFoundError:
        raise Fail(f"there is no path {input.path!r}") from None  # trying again is of no use
    measured = {"at": ctx.scheduled_for.isoformat(), "free": usage.free}
    history = [*ctx.kv.get("history", []), measured][-input.keep :]
    ctx.kv.set("history", history)
    percent = round(100 * usage.free / usage.total, 1)
    print(f"{percent} % of {input.path} is free")
    return {"path": input.path, "free": usage.free, "free_percent": percent}


class Primes(BaseModel):
    """How far to count."""

    below: int = Field(1_000_000, ge=2, le=20_000_000)


@handler("count-primes", timeout="60s", isolation="process")
def count_primes(ctx: SyncContext, input: Primes) -> dict[str, int]:
    """Count primes with a sieve, in a process of its own that a cancel or a timeout can kill."""
    sieve = bytearray([1]) * input.below
    sieve[:2] = b"\0\0"
    last = int(input.below**0.5)
    for number in range(2, last + 1):
        if sieve[number]:
            multiples = range(number * number, input.below, number)
            sieve[number * number :: number] = bytes(len(multiples))
            ctx.progress(number / last, f"crossed out the multiples of {number}")
    return {"primes": sum(sieve)}
