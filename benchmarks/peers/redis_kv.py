"""A key-value table over Redis, with the routes of Rota's: a FastAPI endpoint per operation, a command or a MULTI each.

It keeps a value as JSON and no more: neither version nor time, no history, nothing for watchers. The answers have the
fields of Rota's that it knows.
"""

import argparse
import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import FastAPI, HTTPException, Path
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, StrictFloat, StrictInt
from pydantic import Field as Member
from redis.asyncio import Redis

from benchmarks.peers.serving import serve
from benchmarks.processes import die_with_parent
from benchmarks.traffic import PATH

_CONNECTIONS = 64

Key = Annotated[str, Path(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._:/-]{0,255}$")]


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ValueIn(_Input):
    value: Any


class SetIn(_Input):
    op: Literal["set"]
    key: str
    value: Any


class IncrementIn(_Input):
    op: Literal["increment"]
    key: str
    by: StrictInt | StrictFloat = 1


class TransactionIn(_Input):
    operations: list[Annotated[SetIn | IncrementIn, Member(discriminator="op")]] = Member(
        min_length=1, max_length=1_000
    )


def create_app(redis: Redis) -> FastAPI:
    """Return the application with its four endpoints."""
    app = FastAPI()

    @app.get("/readyz")
    async def ready() -> bool:
        return bool(await redis.ping())

    @app.get(f"{PATH}/{{name}}/kv/{{key}}")
    async def read(name: str, key: Key) -> JSONResponse:
        value = await redis.get(_place(name, key))
        if value is None:
            raise HTTPException(404, f"There is no entry {key!r}.")
        return JSONResponse(_entry(key, json.loads(value)))

    @app.put(f"{PATH}/{{name}}/kv/{{key}}")
    async def write(name: str, key: Key, body: ValueIn) -> JSONResponse:
        before = await redis.set(_place(name, key), json.dumps(body.value), get=True)
        return JSONResponse(_entry(key, body.value), 201 if before is None else 200)

    @app.post(f"{PATH}/{{name}}/kv/transaction")
    async def transact(name: str, body: TransactionIn) -> JSONResponse:
        made = await _carry_out(redis, name, body.operations)
        return JSONResponse({"items": made})

    return app


async def _carry_out(
    redis: Redis, name: str, operations: Sequence[SetIn | IncrementIn]
) -> list[dict[str, Any]]:
    """Send all of them in one go, as a MULTI if there are several."""
    async with redis.pipeline(transaction=len(operations) > 1) as pipeline:
        for each in operations:
            _add(pipeline, _place(name, each.key), each)
        answers = await pipeline.execute()
    values = (
        each.value if isinstance(each, SetIn) else answer
        for each, answer in zip(operations, answers, strict=True)
    )
    return [_entry(each.key, value) for each, value in zip(operations, values, strict=True)]


def _add(pipeline: Any, place: str, operation: SetIn | IncrementIn) -> None:
    if isinstance(operation, SetIn):
        pipeline.set(place, json.dumps(operation.value))
    elif isinstance(operation.by, int):
        pipeline.incrby(place, operation.by)
    else:
        pipeline.incrbyfloat(place, operation.by)


def _place(name: str, key: str) -> str:
    return f"{name}\n{key}"


def _entry(key: str, value: Any) -> dict[str, Any]:
    return {"key": key, "value": value}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--socket", required=True)
    given = parser.parse_args()
    redis = Redis(unix_socket_path=given.socket, max_connections=_CONNECTIONS)
    serve(create_app(redis), given.port)


if __name__ == "__main__":
    die_with_parent()
    main()
