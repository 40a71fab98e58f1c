"""Answers: rendered once, kept for an Idempotency-Key in the commit of the write, sent."""

import hashlib
import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import Header, Request, Response

from rota.api.http.services import Services, idempotency_scope
from rota.api.http.validation import invalid_parameter
from rota.db.writer import Command
from rota.domain.primitives.stored_json import render
from rota.store.idempotency import Once, Reply

R = TypeVar("R")

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="The same key and request within 24 h replay the answer and write nothing.",
        max_length=257,
    ),
]

_KEY = re.compile(r'"?([\x21\x23-\x7e]{1,255})"?')


def reply(status: int, content: Any, headers: dict[str, str] | None = None) -> Reply:
    """Render an answer with a JSON body."""
    return Reply(status, headers or {}, render(content).encode())


def send(answer: Reply, *, replayed: bool = False) -> Response:
    """Return the response for a rendered answer."""
    response = Response(answer.body, answer.status, answer.headers, "application/json")
    if replayed:
        response.headers["idempotency-replayed"] = "true"
    return response


async def commit(
    request: Request, services: Services, command: Command[R], render: Callable[[R], Reply]
) -> Response:
    """Have a command committed and answer with what `render` makes of its result, once per Idempotency-Key."""
    key = idempotency_key(request)
    if key is None:
        return send(render(await services.writer.run(command)))
    once = Once(
        key=key,
        principal=idempotency_scope(request),
        fingerprint=await fingerprint(request),
        command=command,
        render=render,
    )
    answer, replayed = await services.writer.run(once)
    return send(answer, replayed=replayed)


def idempotency_key(request: Request) -> str | None:
    """Return the key of a request, if it has one; raises Invalid if it is not a key."""
    given = request.headers.get("idempotency-key")
    if given is None:
        return None
    match = _KEY.fullmatch(given.strip())
    if match is None:
        detail = "give 1 to 255 visible ASCII characters, bare or in double quotes"
        raise invalid_parameter("Idempotency-Key", detail, "invalid-header")
    return match[1]


async def fingerprint(request: Request) -> str:
    """Return what tells a request from others with the same key: a digest of its method, path, query and body."""
    line = f"{request.method} {request.url.path}?{request.url.query}\n"
    return hashlib.sha256(line.encode() + await request.body()).hexdigest()
