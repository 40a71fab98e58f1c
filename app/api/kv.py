"""The key-value table of a task."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Request, Response

from app.api import answers, schemas
from app.api.etags import create_only, etag, if_match, none_match
from app.api.pagination import Cursor, Limit, decode_cursor, encode_cursor, split
from app.api.problems import describe
from app.api.replies import reply, send
from app.api.routing import router
from app.api.services import Principal, Served
from app.api.views import show_entry
from app.domain.kv import check_key, encode
from app.domain.names import KEY_PREFIX_PATTERN, READABLE_KEY_PATTERN, Name
from app.errors import Fault, Invalid
from app.store.kv import DeleteEntry, Expected, SetEntry, find_entry, list_entries

routes: APIRouter = router("/v1/tasks/{name}/kv", "kv")

Key = Annotated[str, Path(pattern=READABLE_KEY_PATTERN, examples=["cursor"])]
IfMatch = Annotated[
    str | None, Header(alias="If-Match", description="The ETag that the entry must still have.")
]
IfNoneMatch = Annotated[
    str | None, Header(alias="If-None-Match", description="`*`: only create, never overwrite.")
]
IfNoneMatchTag = Annotated[
    str | None, Header(alias="If-None-Match", description="An ETag: 304 if the entry still has it.")
]


@routes.get("", response_model=answers.KvEntriesOut, responses=describe(404))
def list_all(
    services: Served,
    name: Name,
    limit: Limit = 50,
    cursor: Cursor = None,
    prefix: Annotated[str, Query(pattern=KEY_PREFIX_PATTERN)] = "",
    keys: Annotated[list[str] | None, Query(description="Only these keys.")] = None,
) -> Response:
    """List entries by key; a page is one snapshot. `_result` is the last successful result."""
    position = decode_cursor(cursor, 1)
    with services.database.read() as connection:
        found = list_entries(
            connection,
            name,
            services.clock.now(),
            prefix=prefix,
            keys=split(keys),
            after=position[0] if position else "",
            limit=limit + 1,
        )
    page = found[:limit]
    following = encode_cursor([page[-1].key]) if len(found) > limit else None
    return send(
        reply(200, {"items": [show_entry(entry) for entry in page], "next_cursor": following})
    )


@routes.get(
    "/{key}",
    response_model=answers.KvEntryOut,
    responses=describe(404, also={304: {"description": "It still has the ETag that you named."}}),
)
def read(
    request: Request, services: Served, name: Name, key: Key, _match: IfNoneMatchTag = None
) -> Response:
    """Read an entry."""
    with services.database.read() as connection:
        owner, entry = find_entry(connection, name, key, services.clock.now())
    tag = etag(owner, entry.version)
    if none_match(request, tag):
        return Response(status_code=304, headers={"etag": tag})
    return send(reply(200, show_entry(entry), {"etag": tag}))


@routes.put(
    "/{key}",
    response_model=answers.KvEntryOut,
    responses=describe(
        404, 412, also={201: {"model": answers.KvEntryOut, "description": "Created."}}
    ),
)
async def write(
    request: Request,
    services: Served,
    principal: Principal,
    name: Name,
    key: Key,
    body: schemas.KvIn,
    _match: IfMatch = None,
    _none_match: IfNoneMatch = None,
) -> Response:
    """Write an entry, on condition if you like."""
    check_key(key)
    _check_ttl(body.ttl)
    command = SetEntry(
        task=name,
        key=key,
        value=encode(key, body.value, services.settings.max_value_bytes),
        ttl=body.ttl,
        by=principal,
        expected=_expected(request),
    )
    owner, entry, created = await services.writer.run(command)
    headers = {"etag": etag(owner, entry.version)}
    return send(reply(201 if created else 200, show_entry(entry), headers))


@routes.delete("/{key}", status_code=204, response_class=Response, responses=describe(404, 412))
async def delete(
    request: Request,
    services: Served,
    principal: Principal,
    name: Name,
    key: Key,
    _match: IfMatch = None,
) -> Response:
    """Remove an entry."""
    check_key(key)
    await services.writer.run(
        DeleteEntry(task=name, key=key, by=principal, expected=_expected(request))
    )
    return Response(status_code=204)


def _expected(request: Request) -> Expected | None:
    if create_only(request):
        return Expected(None, None)
    match = if_match(request)
    return None if match is None else Expected(*match)


def _check_ttl(ttl: timedelta | None) -> None:
    if ttl is not None and not ttl:
        detail = "give a duration above 0, or null to keep the entry for good"
        raise Invalid(f"/ttl: {detail}.", Fault("/ttl", detail))
