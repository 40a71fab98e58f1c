"""API keys: make, list, read, rotate, revoke."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import StringConstraints

from rota.api.http.access import Administers, Anyone
from rota.api.http.audit_entries import of_row
from rota.api.http.clients.calls import current_call
from rota.api.http.pagination import Cursor, Limit, decode_cursor, foreign_cursor, paginate
from rota.api.http.responses import reply, send
from rota.api.http.routing import router
from rota.api.http.services import Served, Services
from rota.api.http.validation import invalid_parameter, refusal
from rota.api.keys.request_models import KeyIn, RotateKeyIn
from rota.api.keys.response_models import (
    KeyOut,
    KeysOut,
    MadeKeyOut,
    OwnKeyOut,
    show_key,
    show_own,
)
from rota.api.problems.problem import describe
from rota.domain.access.keys import KEY_ID_PATTERN
from rota.domain.access.principal import LOCAL
from rota.domain.access.stored_key import StoredKey
from rota.domain.audit.actions import Action, Kind
from rota.domain.primitives.times.instants import format_instant, parse_instant
from rota.errors import Conflict, Fault
from rota.store.access.changes import MadeKey, RevokeKey, RotateKey
from rota.store.access.reading import find_key, list_keys
from rota.store.audit.keys import creation

_GivenKeyId = Annotated[str, StringConstraints(pattern=KEY_ID_PATTERN)]

routes: APIRouter = router("/v1/keys", "keys")


@routes.post(
    "",
    status_code=201,
    response_model=MadeKeyOut,
    responses=describe("first-key", "time-in-the-past", "invalid-header"),
)
async def create(request: Request, services: Served, caller: Administers, body: KeyIn) -> Response:
    """Make a key. This response is the only one that has its secret; it is not replayed for an Idempotency-Key.

    It takes the scope `admin`, which includes all rights that the new key can have. The first key is made with `rota
    key create`, or with a key of ROTA_API_KEY.
    """
    _check_once(request)
    if caller == LOCAL:
        raise _first_key()
    _check_ahead(services, body.expires_at)
    made = await services.writer.run(creation(body.command(caller.label), current_call().author))
    return await _made(services, made, 201)


@routes.get("", response_model=KeysOut, responses=describe())
def list_all(
    services: Served, _caller: Administers, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """List the stored keys in the order in which they were made, revoked and expired ones included."""
    position = _position(decode_cursor(cursor, 2))
    with services.database.read() as connection:
        found = list_keys(connection, position, limit + 1)
    page, following = paginate(found, limit, _position_of)
    now = services.clock.now()
    items = [show_key(key, now) for key in page]
    return send(reply(200, KeysOut(items=items, next_cursor=following)))


@routes.get("/self", response_model=OwnKeyOut, responses=describe())
def read_own(services: Served, caller: Anyone) -> Response:
    """Read what the key of this request may do. Any key may."""
    key = None if caller.key_id is None else _found(services, caller.key_id)
    return send(reply(200, show_own(caller, key)))


@routes.get("/{id}", response_model=KeyOut, responses=describe(404))
def read(services: Served, _caller: Administers, id: _GivenKeyId) -> Response:
    """Read what is known of a key, without its secret."""
    return send(reply(200, show_key(_found(services, id), services.clock.now())))


@routes.post(
    "/{id}/rotate",
    response_model=MadeKeyOut,
    responses=describe("not-found", "wrong-status", "time-in-the-past", "invalid-header"),
)
async def rotate(
    request: Request,
    services: Served,
    _caller: Administers,
    id: _GivenKeyId,
    body: RotateKeyIn | None = None,
) -> Response:
    """Give a key its next secret, which only this response has. The one before is accepted for the overlap."""
    _check_once(request)
    body = body or RotateKeyIn()
    _check_ahead(services, body.expires_at)
    change = RotateKey(id=id, overlap=body.overlap, expires_at=body.expires_at)
    command = of_row(Action.KEY_ROTATED, Kind.KEY, id, change)
    return await _made(services, await services.writer.run(command), 200)


@routes.delete("/{id}", status_code=204, response_class=Response, responses=describe("not-found"))
async def revoke(services: Served, caller: Administers, id: _GivenKeyId) -> Response:
    """Revoke a key for good; what it keeps open ends. Its row stays, and a revoked one stays as it is."""
    command = RevokeKey(id=id, by=caller.label)
    await services.writer.run(of_row(Action.KEY_REVOKED, Kind.KEY, id, command))
    await services.keys.changed()
    return Response(status_code=204)


async def _made(services: Services, made: MadeKey, status: int) -> Response:
    await services.keys.changed()
    content = MadeKeyOut(**show_key(made.stored, services.clock.now()), key=made.text)
    headers = {"cache-control": "no-store", "location": f"/v1/keys/{made.stored.id}"}
    return send(reply(status, content, headers))


def _found(services: Services, id: str) -> StoredKey:
    with services.database.read() as connection:
        return find_key(connection, id)


def _check_once(request: Request) -> None:
    """Raise Invalid for an Idempotency-Key: to replay the response, its secret would have to be stored."""
    if "idempotency-key" in request.headers:
        raise invalid_parameter(
            "Idempotency-Key",
            "leave it out: the response has a secret, which is not stored to be replayed. If no response "
            "arrives, revoke the key that GET /v1/keys shows, and make another",
            "invalid-header",
        )


def _check_ahead(services: Services, expires_at: datetime | None) -> None:
    now = services.clock.now()
    if expires_at is not None and expires_at <= now:
        detail = f"{format_instant(expires_at)} has passed (it is {format_instant(now)}); give a time ahead"
        raise refusal([Fault("/expires_at", detail)], "time-in-the-past")


def _first_key() -> Conflict:
    return Conflict(
        "Nothing needs a key here yet, and everything would once there is one. Make the first one with "
        "`rota key create --name NAME --scope admin` (with SQLite, while the service is stopped), or set ROTA_API_KEY.",
        slug="first-key",
    )


def _position_of(key: StoredKey) -> list[str]:
    return [format_instant(key.created_at), key.id]


def _position(position: list[str] | None) -> tuple[datetime, str] | None:
    if position is None:
        return None
    try:
        return parse_instant(position[0]), position[1]
    except ValueError:
        raise foreign_cursor() from None
