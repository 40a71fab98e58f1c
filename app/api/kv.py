"""The key-value table of a task."""

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response

from app.api import answers, kv_bodies
from app.api.etags import create_only, etag, if_match, none_match
from app.api.kv_values import WRITABLE, read_value, send_value
from app.api.pagination import Cursor, Limit, decode_cursor, encode_cursor, split
from app.api.problems import describe
from app.api.replies import reply, send
from app.api.routing import router
from app.api.services import Principal, Served, Services
from app.api.views import show_entry
from app.domain.kv import KvLimits, check_key
from app.domain.names import KEY_PREFIX_PATTERN, READABLE_KEY_PATTERN, Name
from app.domain.operations import Delete, Operation
from app.errors import AppError, Fault, Invalid
from app.store.kv import KvFilter, count_entries, find_entry, list_entries
from app.store.kv_transactions import DeletePrefix, Expected, Transact

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
Prefix = Annotated[str, Query(pattern=KEY_PREFIX_PATTERN, description="Keys that start so.")]
Keys = Annotated[list[str] | None, Query(description="Only these keys.")]
Start = Annotated[str, Query(pattern=KEY_PREFIX_PATTERN, description="From this key on.")]
End = Annotated[str, Query(pattern=KEY_PREFIX_PATTERN, description="Before this key.")]
_INCLUDED = frozenset(["values", "keys", "count"])
Include = Annotated[
    list[str] | None,
    Query(
        description="`values` (the default), or `keys`, which leaves the values out; `count` beside either: how many "
        "there are in all.",
        examples=[["keys", "count"]],
    ),
]
_UNCHANGED: dict[int | str, dict[str, Any]] = {
    304: {"description": "It still has the ETag that you named."}
}


@routes.get("", response_model=answers.KvEntriesOut, responses=describe(404))
def list_all(
    services: Served,
    name: Name,
    limit: Limit = 50,
    cursor: Cursor = None,
    prefix: Prefix = "",
    keys: Keys = None,
    start: Start = "",
    end: End = "",
    include: Include = None,
) -> Response:
    """List entries by key; a page is one snapshot. `_result` is the last successful result."""
    position = decode_cursor(cursor, 1)
    wanted = KvFilter(prefix=prefix, keys=split(keys), start=start, end=end)
    included = _included(include)
    with services.database.read() as connection:
        found = list_entries(
            connection,
            name,
            wanted,
            services.clock.now(),
            after=position[0] if position else "",
            limit=limit + 1,
            with_values="keys" not in included,
        )
        counted = (
            count_entries(connection, name, wanted, services.clock.now())
            if "count" in included
            else None
        )
    page = found[:limit]
    shown: dict[str, Any] = {
        "items": [show_entry(entry, with_value="keys" not in included) for entry in page],
        "next_cursor": encode_cursor([page[-1].key]) if len(found) > limit else None,
    }
    if counted is not None:
        shown |= {"count": counted[0], "bytes": counted[1]}
    return send(reply(200, shown))


@routes.delete("", response_model=answers.KvDeletedOut, responses=describe(404))
async def delete_prefix(
    services: Served,
    principal: Principal,
    name: Name,
    prefix: Annotated[str, Query(pattern=KEY_PREFIX_PATTERN, min_length=1)],
) -> Response:
    """Remove every entry whose key starts with `prefix`, all or none; those of Rota stay."""
    command = DeletePrefix(task=name, prefix=prefix, by=principal)
    return send(reply(200, {"deleted": await services.writer.run(command)}))


@routes.post("/transaction", response_model=answers.KvTransactionOut, responses=describe(404, 409))
async def transact(
    services: Served, principal: Principal, name: Name, body: kv_bodies.KvTransactionIn
) -> Response:
    """Carry out operations on entries of the task, in order: all of them, or none and 409 with the one that failed."""
    command = Transact(
        task=name,
        operations=tuple(_operations(services, body)),
        by=principal,
        limits=KvLimits.of(services.settings),
    )
    made = await services.writer.run(command)
    return send(reply(200, {"items": [show_entry(entry) for entry in made.entries]}))


@routes.get(
    "/{key}",
    response_model=answers.KvEntryOut,
    responses=describe(404, also=_UNCHANGED),
)
def read(
    request: Request, services: Served, name: Name, key: Key, _match: IfNoneMatchTag = None
) -> Response:
    """Read an entry. One that is not JSON comes as it was written, with its content type."""
    with services.database.read() as connection:
        owner, entry = find_entry(connection, name, key, services.clock.now())
    tag = etag(owner, entry.version)
    if none_match(request, tag):
        return Response(status_code=304, headers={"etag": tag})
    return send_value(entry, tag)


@routes.head("/{key}", response_class=Response, responses=describe(404, also=_UNCHANGED))
def look(
    request: Request, services: Served, name: Name, key: Key, _match: IfNoneMatchTag = None
) -> Response:
    """Tell whether there is an entry, and its ETag."""
    return read(request, services, name, key)


@routes.put(
    "/{key}",
    response_model=answers.KvEntryOut,
    responses=describe(
        404, 409, 412, 413, also={201: {"model": answers.KvEntryOut, "description": "Created."}}
    ),
    openapi_extra=WRITABLE,
)
async def write(
    request: Request,
    services: Served,
    principal: Principal,
    name: Name,
    key: Key,
    ttl: Annotated[
        str | None, Query(description="How long a value that is not JSON is kept.", examples=["1h"])
    ] = None,
    _match: IfMatch = None,
    _none_match: IfNoneMatch = None,
) -> Response:
    """Write an entry, on condition if you like: JSON, or bytes under their own content type."""
    check_key(key)
    value = await read_value(request, key, ttl, services.settings.max_value_bytes)
    command = Transact(
        task=name,
        operations=(value,),
        by=principal,
        expected=_expected(request),
        limits=KvLimits.of(services.settings),
    )
    made = await services.writer.run(command)
    [entry] = made.entries
    headers = {"etag": etag(made.task_id, entry.version)}
    return send(reply(201 if made.created else 200, show_entry(entry), headers))


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
        Transact(
            task=name,
            operations=(Delete(key),),
            by=principal,
            expected=_expected(request),
            must_exist=True,
        )
    )
    return Response(status_code=204)


def _operations(services: Services, body: kv_bodies.KvTransactionIn) -> Iterator[Operation]:
    limit = services.settings.max_value_bytes
    for index, said in enumerate(body.operations):
        try:
            check_key(said.key)
            yield said.operation(limit)
        except AppError as error:
            pointer = f"/operations/{index}"
            faults = [Fault(pointer + each.pointer, each.detail) for each in error.faults]
            faults = faults or [Fault(pointer, error.detail)]
            raise type(error)(f"{pointer}: {error.detail}", *faults, slug=error.slug) from None


def _expected(request: Request) -> Expected | None:
    if create_only(request):
        return Expected(None, None)
    match = if_match(request)
    return None if match is None else Expected(*match)


def _included(given: list[str] | None) -> frozenset[str]:
    included = frozenset(split(given)) or frozenset(["values"])
    if not included <= _INCLUDED or {"keys", "values"} <= included:
        raise Invalid(
            "include: give 'values' or 'keys', and 'count' if you like.", slug="invalid-filter"
        )
    return included
