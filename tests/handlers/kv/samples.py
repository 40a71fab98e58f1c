"""Handlers of every kind that execute the steps in their input on the kv. Loaded by path, in children as well."""

import asyncio
from typing import Any

from rota import Context, SyncContext, handler

Steps = list[dict[str, Any]]


@handler("plays")
async def plays(ctx: Context, input: Steps) -> list[Any]:
    """Execute the steps; the result of one that may raise (`raises`) is the name of the exception."""
    results = []
    for step in input:
        table = ctx.kv.of(step["of"]) if "of" in step else ctx.kv
        try:
            results.append(shown(await getattr(table, step["do"])(*given(step), **options(step))))
        except Exception as error:
            if not step.get("raises"):
                raise
            results.append(type(error).__name__)
    return results


@handler("plays-sync")
def plays_sync(ctx: SyncContext, input: Steps) -> list[Any]:
    results = []
    for step in input:
        table = ctx.kv.of(step["of"]) if "of" in step else ctx.kv
        try:
            results.append(shown(getattr(table, step["do"])(*given(step), **options(step))))
        except Exception as error:
            if not step.get("raises"):
                raise
            results.append(type(error).__name__)
    return results


@handler("plays-process", isolation="process")
def plays_process(ctx: SyncContext, input: Steps) -> list[Any]:
    return plays_sync(ctx, input)


@handler("plays-process-async", isolation="process")
async def plays_process_async(ctx: Context, input: Steps) -> list[Any]:
    return await plays(ctx, input)


@handler("asks-at-once")
async def asks_at_once(ctx: Context) -> list[Any]:
    return [*await asyncio.gather(ctx.kv.get("count"), ctx.kv.of("stock").get("stock"))]


@handler("asks-at-once-process", isolation="process")
async def asks_at_once_process(ctx: Context) -> list[Any]:
    return await asks_at_once(ctx)


@handler("writes-while-it-commits")
async def writes_while_it_commits(ctx: Context) -> str:
    await ctx.kv.set("a", 1)
    point = asyncio.ensure_future(ctx.kv.commit())
    await asyncio.sleep(0)
    try:
        await ctx.kv.set("b", 1)
    except RuntimeError as error:
        await point
        return str(error)
    return "it was written"


@handler("gives-up-a-commit")
async def gives_up_a_commit(ctx: Context) -> str:
    await ctx.kv.set("a", 1)
    point = asyncio.ensure_future(ctx.kv.commit())
    await asyncio.sleep(0)
    point.cancel()
    return "done"


def given(step: dict[str, Any]) -> list[Any]:
    args = list(step.get("args", ()))
    if "bytes" in step:
        args.append(step["bytes"].encode())
    return args


def options(step: dict[str, Any]) -> dict[str, Any]:
    return dict(step.get("with", {}))


def shown(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value
