"""The handlers of `workmanager.py`: the workers of an app that manages photos."""

import asyncio
from typing import Any

from pydantic import BaseModel, Field

from rota import Context, Fail, Retry, StopReason, handler


class Import(BaseModel):
    """How much there is to import."""

    photos: int = Field(1, ge=1)
    note: str = ""


@handler("import-photos", timeout="5m")
async def import_photos(ctx: Context, input: Import) -> dict[str, Any]:
    """Import photos one by one, and report the progress: a CoroutineWorker with `setProgress`."""

    @ctx.on_stop
    def stopped(reason: StopReason) -> None:
        print(f"stopped, because of: {reason}")  # kept with the run

    for number in range(1, input.photos + 1):
        await asyncio.sleep(0.05)
        await ctx.progress(number / input.photos, f"photo {number}")
    return {"imported": input.photos, "note": input.note}


class Filter(BaseModel):
    """What to filter, and how."""

    photo: str
    filter: str


@handler("filter-photo")
async def filter_photo(_ctx: Context, input: Filter) -> dict[str, str]:
    """The first step of a chain; its result goes into the input of the next one."""
    if not input.photo.endswith(".jpg"):
        raise Fail(f"{input.photo} is not a photo")  # Result.failure(): trying again is of no use
    return {input.filter: f"{input.photo} in {input.filter}"}


@handler("pack")
async def pack(_ctx: Context, input: dict[str, Any]) -> dict[str, Any]:
    """The second step: with `overwrite` the results of the first lie in its input like its own fields."""
    quality = input.pop("quality")
    input.pop("runs", None)  # how the first ones ended
    return {"files": sorted(input.values()), "quality": quality}


class Upload(BaseModel):
    """Where to, and what: with `by_task` the results stand under the names of their tasks."""

    album: str
    results: dict[str, Any] = {}


@handler("upload")
async def upload(ctx: Context, input: Upload) -> dict[str, Any]:
    """The last step; at its first attempt the network is gone."""
    if ctx.attempt == 1:
        raise Retry(after=0.1, reason="no network")  # Result.retry(), with a time and a reason
    files = [file for result in input.results.values() for file in result["files"]]
    return {"album": input.album, "files": files, "attempt": ctx.attempt}
