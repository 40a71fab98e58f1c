"""Handlers of every kind whose tables have had three shapes."""

from typing import Any

from rota import Context, Kv, SyncContext, SyncKv, handler


async def migrate(kv: Kv, old: int) -> None:
    """Bring a table into the third shape: a name became a list of names, a count became a total."""
    if old < 2:
        await kv.set("names", [await kv.get("name")])
        await kv.delete("name")
    if old < 3:
        await kv.set("total", await kv.get("count", 0))


def migrate_sync(kv: SyncKv, old: int) -> None:
    if old < 2:
        kv.set("names", [kv.get("name")])
        kv.delete("name")
    if old < 3:
        kv.set("total", kv.get("count", 0))


async def work(ctx: Context, input: Any) -> Any:
    if input == "fail":
        raise ValueError("on purpose")
    return [await ctx.kv.get("names"), await ctx.kv.get("total")]


def work_sync(ctx: SyncContext, input: Any) -> Any:
    if input == "fail":
        raise ValueError("on purpose")
    return [ctx.kv.get("names"), ctx.kv.get("total")]


@handler("async", kv_version=3, migrate=migrate)
async def third(ctx: Context, input: Any) -> Any:
    return await work(ctx, input)


@handler("sync", kv_version=3, migrate=migrate_sync)
def third_sync(ctx: SyncContext, input: Any) -> Any:
    return work_sync(ctx, input)


@handler("process", kv_version=3, migrate=migrate_sync, isolation="process")
def third_process(ctx: SyncContext, input: Any) -> Any:
    return work_sync(ctx, input)


@handler("process-async", kv_version=3, migrate=migrate, isolation="process")
async def third_process_async(ctx: Context, input: Any) -> Any:
    return await work(ctx, input)


@handler("only-notes", kv_version=2)
async def only_notes(ctx: Context) -> None:
    pass
