"""Handlers for the tests of the API; `tests.api.handlers` is imported by the service, too."""

import threading
from collections import defaultdict
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from rota import Context, Fail, Retry, SyncContext, handler

_PATIENCE = 30
_GATES: defaultdict[str, threading.Event] = defaultdict(threading.Event)
_ENTERED: defaultdict[str, threading.Event] = defaultdict(threading.Event)


def open_gate(task: str) -> None:
    """Let a run of `hold` end."""
    _GATES[task].set()


def close_gate(task: str) -> None:
    """Let the next run of `hold` wait again."""
    _GATES.pop(task).set()
    _ENTERED.pop(task)


def wait_entered(task: str) -> None:
    """Wait until a run of `hold` is under way."""
    assert _ENTERED[task].wait(_PATIENCE), f"no run of {task} has started"


def open_all() -> None:
    """Let all runs of `hold` end, and forget them."""
    for gate in list(_GATES.values()):
        gate.set()
    _GATES.clear()
    _ENTERED.clear()


@handler("echo")
async def echo(ctx: Context, input: Any) -> Any:
    """Return the input."""
    return input


class Greeting(BaseModel):
    """Whom to greet, and how often."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=20)
    times: int = Field(1, ge=1, le=9)


@handler("greet", timeout="7s")
async def greet(ctx: Context, input: Greeting) -> str:
    """Greet somebody."""
    return f"Hello, {input.name}!" * input.times


class Inherited(BaseModel):
    """The results of the tasks that it comes after."""

    model_config = ConfigDict(extra="forbid")

    results: dict[str, Any]
    kind: str = "daily"


@handler("needs-results")
async def needs_results(ctx: Context, input: Inherited) -> int:
    """Count the results."""
    return len(input.results)


@handler("count")
async def count(ctx: Context) -> int:
    """Count the runs of the task in its kv."""
    number: int = await ctx.kv.get("count", 0) + 1
    await ctx.kv.set("count", number)
    return number


@handler("hold")
def hold(ctx: SyncContext) -> str:
    """Wait until the gate of the task opens or the run is cancelled."""
    gate = _GATES[ctx.task]
    print("holding")  # noqa: T201  # kept with the run
    _ENTERED[ctx.task].set()
    while not gate.wait(0.005):
        if ctx.cancelled:
            raise RuntimeError("cancelled")
    return "let through"


@handler("fail")
async def fail(ctx: Context) -> None:
    """Raise."""
    raise ValueError("broken")


@handler("refuse")
async def refuse(ctx: Context) -> None:
    """Fail for good."""
    raise Fail("no such customer")


@handler("again")
async def again(ctx: Context) -> int:
    """Ask for another attempt once."""
    if ctx.attempt == 1:
        raise Retry(after=0, reason="not yet")
    return ctx.attempt


@handler("talk")
async def talk(ctx: Context, input: int) -> None:
    """Print as many lines as its input, and log one."""
    for number in range(1, input + 1):
        print(f"line {number}")  # noqa: T201  # kept with the run
    ctx.log.warning("that was all")


@handler("swap")
async def swap(ctx: Context, input: dict[str, str]) -> dict[str, str | None]:
    """Read an entry and write another value."""
    before = await ctx.kv.get(input["key"])
    await ctx.kv.set(input["key"], input["value"])
    return {"before": before}
