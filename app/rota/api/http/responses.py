"""Responses: rendered once, stored for an Idempotency-Key in the commit of the write, and sent."""

import hashlib
import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import Header, Request, Response

from rota.api.http.access import principal
from rota.api.http.services import Services
from rota.api.http.validation import invalid_parameter
from rota.db.command import Command
from rota.domain.primitives.json.stored_json import render
from rota.store.idempotency import Once, Reply

R = TypeVar("R")

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="The same key and request within 24 h replay the response and write nothing.",
        max_length=257,
    ),
]

_KEY = re.compile(r'"?([\x21\x23-\x7e]{1,255})"?')


def reply(status: int, content: Any, headers: dict[str, str] | None = None) -> Reply:
    """Render a response with a JSON body."""
    return Reply(status, headers or {}, render(content).encode())


def send(rendered: Reply, *, replayed: bool = False) -> Response:
    """Return the HTTP response for a rendered one; `replayed`: it was stored for an Idempotency-Key."""
    response = Response(rendered.body, rendered.status, rendered.headers, "application/json")
    if replayed:
        response.headers["idempotency-replayed"] = "true"
    return response


async def commit(
    request: Request, services: Services, command: Command[R], render: Callable[[R], Reply]
) -> Response:
    """Commit a command and respond with its rendered result, once per Idempotency-Key."""
    key = idempotency_key(request)
    if key is None:
        return send(render(await services.writer.run(command)))
    once = Once(
        key=key,
        principal=principal(request).idempotency_scope,
        fingerprint=await fingerprint(request),
        command=command,
        render=render,
    )
    rendered, replayed = await services.writer.run(once)
    return send(rendered, replayed=replayed)


def idempotency_key(request: Request) -> str | None:
    """Return the Idempotency-Key of a request, if it has one; raises Invalid if it is malformed."""
    given = request.headers.get("idempotency-key")
    if given is None:
        return None
    match = _KEY.fullmatch(given.strip())
    if match is None:
        detail = "give 1 to 255 visible ASCII characters, bare or in double quotes"
        raise invalid_parameter("Idempotency-Key", detail, "invalid-header")
    return match[1]


async def fingerprint(request: Request) -> str:
    """Return a digest of method, path, query and body: what has the same key and another digest is refused."""
    line = f"{request.method} {request.url.path}?{request.url.query}\n"
    return hashlib.sha256(line.encode() + await request.body()).hexdigest()
