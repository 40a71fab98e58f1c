"""Handlers that the tests run, well-behaved and hostile. Loaded by path, in children as well."""

# ruff: noqa: G004, T201  # handlers print, and `ctx.log` is no logger

import asyncio
import contextlib
import ctypes
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from pydantic import BaseModel, Field

from rota import Context, Fail, Log, Retry, SyncContext, handler

#: Set by a handler that has started; set by a test that lets it continue.
started = threading.Event()
released = threading.Event()


class Order(BaseModel):
    number: int = Field(ge=1)


@dataclass
class Box:
    sizes: tuple[int, ...]


class Clumsy(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@handler("echo")
async def echo(ctx: Context, input: Any) -> Any:
    return input


@handler("echo-sync")
def echo_sync(ctx: SyncContext, input: Any) -> Any:
    return input


@handler("facts")
async def facts(ctx: Context) -> Any:
    return [str(ctx.run_id), ctx.attempt, ctx.failures, ctx.task, ctx.trigger, ctx.input]


@handler("facts-process", isolation="process")
def facts_process(ctx: SyncContext) -> Any:
    return [str(ctx.run_id), ctx.attempt, ctx.failures, ctx.task, ctx.trigger, ctx.input]


@handler("trace")
async def trace(ctx: Context) -> str | None:
    return ctx.traceparent


@handler("trace-process", isolation="process")
def trace_process(ctx: SyncContext) -> str | None:
    return ctx.traceparent


@handler("double")
async def double(ctx: Context, input: Order) -> Order:
    return Order(number=input.number * 2)


@handler("box")
def box(ctx: SyncContext) -> Box:
    return Box((1, 2))


@handler("count")
async def count(ctx: Context) -> Any:
    seen = await ctx.kv.get("count")
    await ctx.kv.set("count", seen + 1, ttl="1m")
    await ctx.kv.delete("name")
    return [seen, await ctx.kv.get("count"), await ctx.kv.items()]


@handler("count-sync")
def count_sync(ctx: SyncContext) -> Any:
    seen = ctx.kv.get("count")
    ctx.kv.set("count", seen + 1, ttl="1m")
    ctx.kv.delete("name")
    return [seen, ctx.kv.get("count"), ctx.kv.items()]


@handler("count-process", isolation="process")
def count_process(ctx: SyncContext) -> Any:
    return count_sync(ctx)


@handler("count-process-async", isolation="process")
async def count_process_async(ctx: Context) -> Any:
    return await count(ctx)


@handler("write-only", isolation="process")
def write_only(ctx: SyncContext) -> None:
    ctx.kv.set("count", 1)


@handler("wrong-key")
async def wrong_key(ctx: Context) -> None:
    await ctx.kv.set("_result", 1)


@handler("raises")
async def raises(ctx: Context, input: str) -> NoReturn:
    error = EXCEPTIONS[input]()
    raise error


@handler("raises-sync")
def raises_sync(ctx: SyncContext, input: str) -> NoReturn:
    error = EXCEPTIONS[input]()
    raise error


@handler("raises-process", isolation="process")
def raises_process(ctx: SyncContext, input: str) -> NoReturn:
    error = EXCEPTIONS[input]()
    raise error


EXCEPTIONS: dict[str, Callable[[], BaseException]] = {
    "retry": lambda: Retry("5m", "not yet"),
    "fail": lambda: Fail("no such customer"),
    "value": lambda: ValueError("a wrong value"),
    "clumsy": Clumsy,
    "exit": lambda: SystemExit(3),
    "interrupt": KeyboardInterrupt,
    "generator": GeneratorExit,
    "cancelled": asyncio.CancelledError,
    "huge": lambda: ValueError("x" * 1_000_000),
    "nul": lambda: ValueError("a\x00b\ud800"),
}


@handler("returns")
async def returns(ctx: Context, input: str) -> Any:
    return RESULTS[input]()


@handler("returns-sync")
def returns_sync(ctx: SyncContext, input: str) -> Any:
    return RESULTS[input]()


@handler("returns-process", isolation="process")
def returns_process(ctx: SyncContext, input: str) -> Any:
    return RESULTS[input]()


def cycle() -> Any:
    ring: list[Any] = []
    ring.append(ring)
    return ring


class Trap(dict[str, Any]):
    def items(self) -> Any:
        raise RuntimeError("no items")


RESULTS: dict[str, Any] = {
    "nan": lambda: float("nan"),
    "set": lambda: {1, 2},
    "bytes": lambda: b"x",
    "cycle": cycle,
    "deep": lambda: eval("[" * 80 + "]" * 80),
    "surrogate": lambda: "\ud800",
    "nul": lambda: "\x00",
    "huge": lambda: "x" * 100_000,
    "trap": lambda: Trap(a=1),
}


@handler("waits")
async def waits(ctx: Context) -> str:
    started.set()
    await asyncio.Event().wait()
    return "never"


@handler("waits-sync")
def waits_sync(ctx: SyncContext) -> Any:
    started.set()
    released.wait(30)
    if ctx.cancelled:
        raise asyncio.CancelledError
    return "waited"


@handler("blocks-the-loop")
async def blocks_the_loop(ctx: Context) -> str:
    started.set()
    released.wait(30)
    return "unblocked"


@handler("poisons-the-loop")
async def poisons_the_loop(ctx: Context) -> str:
    async def leave() -> NoReturn:
        raise SystemExit(1)

    poison = asyncio.ensure_future(leave())
    await asyncio.wait({poison})
    return repr(poison.exception())


@handler("talks")
async def talks(ctx: Context) -> None:
    print("out", end="")
    print(" and out")
    print("err", file=sys.stderr)
    ctx.log.warning("logged")
    logging.getLogger("shop").error("record %s", 1)
    await asyncio.to_thread(print, "from a thread")
    await ctx.progress(0.25, "a quarter")
    print("unfinished", end="")


@handler("talks-process", isolation="process")
def talks_process(ctx: SyncContext) -> None:
    print("out", end="")
    print(" and out")
    print("err", file=sys.stderr)
    ctx.log.warning("logged")
    logging.getLogger("shop").error("record %s", 1)
    os.write(1, b"from C\n")
    subprocess.run(["echo", "from a program"], check=True)
    ctx.progress(0.25, "a quarter")
    print("unfinished", end="")


@handler("prints")
async def prints(ctx: Context, input: str) -> None:
    print(input)
    await asyncio.sleep(0)
    print(input)


@handler("writes-bytes")
async def writes_bytes(ctx: Context) -> None:
    sys.stdout.write(b"x")  # type: ignore[arg-type]


@handler("prints-a-megabyte")
async def prints_a_megabyte(ctx: Context) -> None:
    print("x" * 1_000_000, end="")
    for _ in range(100_000):
        print()


def say_with_fields(log: Log) -> None:
    log.debug("searched", id=3, feed="World news", found=None, took=1.5)
    log.info("any name", event=1, level="high", message="a=b", msg="", self=True, fields=[1, "é"])
    log.warning("%d of %s", 2, "three", **{"a b": datetime(2026, 3, 1, tzinfo=UTC)})
    log.error("odd", bytes=b"\xff", clumsy=Clumsy(), nan=float("nan"), box=Box((1, 2)))
    try:
        int("broken")
    except ValueError:
        log.exception("caught", id=4)


@handler("logs-fields")
async def logs_fields(ctx: Context) -> None:
    say_with_fields(ctx.log)


@handler("logs-fields-sync")
def logs_fields_sync(ctx: SyncContext) -> None:
    say_with_fields(ctx.log)


@handler("logs-fields-process", isolation="process")
def logs_fields_process(ctx: SyncContext) -> None:
    say_with_fields(ctx.log)


@handler("logs-fields-process-async", isolation="process")
async def logs_fields_process_async(ctx: Context) -> None:
    say_with_fields(ctx.log)


@handler("prints-a-megabyte-process", isolation="process")
def prints_a_megabyte_process(ctx: SyncContext) -> None:
    os.write(1, b"x" * 1_000_000)
    ctx.log.info("y" * 1_000_000)


@handler("exits", isolation="process")
def exits(ctx: SyncContext) -> None:
    os._exit(3)


@handler("crashes", isolation="process")
def crashes(ctx: SyncContext) -> None:
    ctypes.string_at(0)


@handler("dies")
async def dies(ctx: Context, input: int) -> None:
    os.kill(os.getpid(), input)


@handler("dies-sync")
def dies_sync(ctx: SyncContext, input: int) -> None:
    os.kill(os.getpid(), input)


@handler("dies-process", isolation="process")
def dies_process(ctx: SyncContext, input: int) -> None:
    os.kill(os.getpid(), input)


@handler("returns-its-process")
async def returns_its_process(ctx: Context) -> int:
    await ctx.kv.set("written", ctx.attempt)
    return os.getpid()


@handler("returns-its-process-sync")
def returns_its_process_sync(ctx: SyncContext) -> int:
    ctx.kv.set("written", ctx.attempt)
    return os.getpid()


@handler("kills-the-server", isolation="process")
def kills_the_server(ctx: SyncContext) -> None:
    os.kill(os.getppid(), 9)
    threading.Event().wait(30)


@handler("stops-the-server", isolation="process")
def stops_the_server(ctx: SyncContext) -> None:
    os.kill(os.getppid(), signal.SIGSTOP)


@handler("returns-its-environment", isolation="process")
def returns_its_environment(ctx: SyncContext) -> list[str]:
    return sorted(os.environ)


@handler("closes-everything", isolation="process")
def closes_everything(ctx: SyncContext) -> None:
    os.closerange(0, 100)
    os._exit(0)


@handler("sends-outcome", isolation="process")
def sends_outcome(ctx: SyncContext, input: Any) -> None:
    connection = ctx._journal._connection  # type: ignore[attr-defined]
    connection.sendall(json.dumps({"outcome": input}).encode() + b"\n")
    threading.Event().wait(30)


@handler("sends-nonsense", isolation="process")
def sends_nonsense(ctx: SyncContext) -> None:
    connection = ctx._journal._connection  # type: ignore[attr-defined]
    connection.sendall(b'{"outcome": {"kind": "Succeeded"}}\n')
    threading.Event().wait(30)


@handler("sends", isolation="process")
def sends(ctx: SyncContext) -> None:
    """Write what the input is into the connection to the service, as no handler should."""
    connection = ctx._journal._connection  # type: ignore[attr-defined]
    connection.sendall(json.dumps(ctx.input).encode() + b"\n")
    threading.Event().wait(30)


@handler("hangs", isolation="process")
def hangs(ctx: SyncContext) -> None:
    print(os.getpid())
    print("hanging", flush=True)
    while True:  # not even a signal handler gets a turn that matters
        pass


@handler("heeds", isolation="process")
def heeds(ctx: SyncContext) -> str:
    print("heeding", flush=True)
    while not ctx.cancelled:
        threading.Event().wait(0.01)
    return "heeded"


@handler("waits-process", isolation="process")
async def waits_process(ctx: Context) -> None:
    print("waiting", flush=True)
    await asyncio.Event().wait()


@handler("leaves-a-grandchild", isolation="process")
def leaves_a_grandchild(ctx: SyncContext) -> int:
    return subprocess.Popen(["sleep", "300"]).pid


@handler("leaves-a-daemon", isolation="process")
def leaves_a_daemon(ctx: SyncContext) -> int:
    return subprocess.Popen(["sleep", "300"], start_new_session=True).pid


@handler("leaves-a-thread", isolation="process")
def leaves_a_thread(ctx: SyncContext) -> str:
    threading.Thread(target=threading.Event().wait, args=(300,)).start()
    return "left"


@handler("family", isolation="process")
def family(ctx: SyncContext) -> None:
    grandchild = subprocess.Popen(["sleep", "300"])
    print(f"family {os.getppid()} {os.getpid()} {grandchild.pid}", flush=True)
    threading.Event().wait(300)


@handler("where", isolation="process")
def where(ctx: SyncContext) -> Any:
    closed = os.fstat(0).st_rdev == Path("/dev/null").stat().st_rdev
    servers = [name for name in ("fastapi", "httpx", "sqlalchemy") if name in sys.modules]
    return {"session": os.getsid(0) == os.getpid(), "no_stdin": closed, "servers": servers}


@handler("notified")
async def notified(ctx: Context, input: str) -> str:
    @ctx.on_stop
    async def first(reason: str) -> None:
        await asyncio.sleep(0)
        ctx.log.info(f"first {reason} {ctx.stop_reason}")

    @ctx.on_stop
    def second(reason: str) -> None:
        ctx.log.info(f"second {reason}")
        if input == "faulty":
            raise ValueError("a faulty hook")

    ctx.log.info("ready")
    started.set()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        ctx.log.info(f"interrupted {ctx.stop_reason}")
        raise
    return "never"


@handler("notified-process-async", isolation="process")
async def notified_process_async(ctx: Context, input: str) -> str:
    return await notified(ctx, input)


@handler("notified-sync")
def notified_sync(ctx: SyncContext, input: str) -> str:
    received = threading.Event()

    @ctx.on_stop
    def hook(reason: str) -> None:
        ctx.log.info(f"first {reason} {ctx.stop_reason}")
        if input == "faulty":
            received.set()
            raise ValueError("a faulty hook")
        ctx.kv.get("count")  # whatever a hook reads, it must not be in its own way
        received.set()

    ctx.log.info("ready")
    started.set()
    assert received.wait(30)
    return "received"


@handler("notified-process", isolation="process")
def notified_process(ctx: SyncContext, input: str) -> str:
    return notified_sync(ctx, input)


@handler("notified-slowly")
async def notified_slowly(ctx: Context) -> None:
    @ctx.on_stop
    async def hook(reason: str) -> None:
        await asyncio.Event().wait()

    started.set()
    await asyncio.Event().wait()


@handler("notified-stubbornly")
async def notified_stubbornly(ctx: Context) -> None:
    @ctx.on_stop
    async def hook(reason: str) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    started.set()
    await asyncio.Event().wait()


@handler("ends-its-own-task-in-a-hook")
async def ends_its_own_task_in_a_hook(ctx: Context) -> None:
    at_work = asyncio.ensure_future(asyncio.Event().wait())

    @ctx.on_stop
    async def hook(reason: str) -> None:
        at_work.cancel()
        await at_work

    ctx.log.info("ready")
    await asyncio.Event().wait()


@handler("notified-slowly-process", isolation="process")
def notified_slowly_process(ctx: SyncContext) -> None:
    @ctx.on_stop
    def hook(reason: str) -> None:
        ctx.log.info("in the hook")
        threading.Event().wait(300)

    ctx.log.info("ready")
    threading.Event().wait(300)


@handler("prints-in-a-hook")
async def prints_in_a_hook(ctx: Context) -> None:
    ctx.on_stop(lambda reason: print(f"hook: {reason}"))
    started.set()
    await asyncio.Event().wait()


@handler("prints-in-a-hook-sync")
def prints_in_a_hook_sync(ctx: SyncContext) -> None:
    @ctx.on_stop
    def hook(reason: str) -> None:
        print(f"hook: {reason}")
        released.set()

    started.set()
    assert released.wait(30)


@handler("notified-late")
async def notified_late(ctx: Context) -> list[str]:
    received = []

    async def hook(reason: str) -> None:
        received.append(f"async {reason}")

    started.set()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    ctx.on_stop(lambda reason: received.append(f"sync {reason}"))
    ctx.on_stop(hook)
    await asyncio.sleep(0.01)
    return received


@handler("notified-late-sync")
def notified_late_sync(ctx: SyncContext) -> list[str]:
    received: list[str] = []
    started.set()
    assert released.wait(30)
    ctx.on_stop(received.append)
    return received


@handler("notified-async-hook-sync")
def notified_async_hook_sync(ctx: SyncContext) -> None:
    async def hook(reason: str) -> None:
        pass

    ctx.on_stop(hook)


@handler("registers")
async def registers(ctx: Context, input: dict[str, Any]) -> None:
    await ctx.tasks.register(**input)
    ctx.set_next_fire(datetime(2126, 5, 1, 12, 0, 0, 500, tzinfo=UTC))


@handler("registers-sync")
def registers_sync(ctx: SyncContext, input: dict[str, Any]) -> None:
    ctx.tasks.register(**input)
    ctx.set_next_fire(datetime(2126, 5, 1, 12, 0, 0, 500, tzinfo=UTC))


@handler("registers-process", isolation="process")
def registers_process(ctx: SyncContext, input: dict[str, Any]) -> None:
    registers_sync(ctx, input)


@handler("registers-process-async", isolation="process")
async def registers_process_async(ctx: Context, input: dict[str, Any]) -> None:
    await registers(ctx, input)


@handler("registers-many")
def registers_many(ctx: SyncContext, input: int) -> None:
    for number in range(input):
        text = "ü" * 4_000  # 12 bytes each, once escaped
        schedule = {"type": "manual"}
        ctx.tasks.register(name=f"t{number}", handler=echo, schedule=schedule, input=text)


@handler("registers-many-process", isolation="process")
def registers_many_process(ctx: SyncContext, input: int) -> None:
    registers_many(ctx, input)
