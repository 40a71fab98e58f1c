"""The key-value table of a task."""

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from rota.api.http.access import ReadsKv, WritesKv
from rota.api.http.audit_entries import logged
from rota.api.http.etags import IfMatch, IfNoneMatch, etag, none_match, precondition
from rota.api.http.pagination import Cursor, Limit, decode_cursor, fitting, paginate, split
from rota.api.http.responses import reply, send
from rota.api.http.routing import router
from rota.api.http.services import Served, Services
from rota.api.http.streaming.sse import STREAM, LastEventId
from rota.api.http.validation import invalid_parameter
from rota.api.kv.history import list_at
from rota.api.kv.parameters import (
    At,
    End,
    IfNoneMatchTag,
    Include,
    Initial,
    Key,
    Keys,
    Prefix,
    Start,
    Watch,
)
from rota.api.kv.request_models import KvTransactionIn
from rota.api.kv.response_models import KvDeletedOut, KvEntriesOut, KvEntryOut, KvTransactionOut
from rota.api.kv.values import READABLE, WRITABLE, read_value, send_value
from rota.api.kv.views import show_entry
from rota.api.kv.watch import watch as start_watch
from rota.api.problems.problem import describe
from rota.domain.access.quotas import Counted
from rota.domain.access.scopes import Scope
from rota.domain.audit.actions import Action
from rota.domain.kv.entries import KvLimits, check_key
from rota.domain.kv.operation_traits import writes_key
from rota.domain.kv.operations import Delete, Operation
from rota.domain.kv.schemas import DoesNotFit
from rota.domain.primitives.texts.names import KEY_PREFIX_PATTERN, Name
from rota.errors import AppError, Fault
from rota.store.access.quotas import within
from rota.store.audit.kv_subjects import Entries
from rota.store.kv.entries import KvFilter, count_entries, find_entry, list_entries, list_sizes
from rota.store.kv.transactions import DeletePrefix, Transact

routes: APIRouter = router("/v1/tasks/{name}/kv", "kv")

_WATCH_PARAMETERS = frozenset(["watch", "initial", "last_event_id"])
_INCLUDED = frozenset(["values", "keys", "count"])
_UNCHANGED: dict[int | str, dict[str, Any]] = {
    304: {"description": "It still has the ETag that you sent."}
}


@routes.get("", response_model=KvEntriesOut, responses=describe("not-found", "sealed", also=STREAM))
def list_all(
    request: Request,
    services: Served,
    _caller: ReadsKv,
    last_event: LastEventId,
    name: Name,
    limit: Limit = 50,
    cursor: Cursor = None,
    prefix: Prefix = "",
    keys: Keys = None,
    start: Start = "",
    end: End = "",
    include: Include = None,
    at: At = None,
    watch: Watch = None,
    initial: Initial = False,  # noqa: FBT002  # FastAPI passes it by name
) -> Response:
    """List entries by key; a page is one snapshot. `_result` is the last successful result.

    With `at`: as they were then. With `watch`: changes, as server-sent events (`kv.set`, `kv.deleted`).
    """
    if watch is not None:
        _only_watch(request)
        return start_watch(services, name, split(watch), last_event, initial=initial)
    if last_event.in_query:
        raise invalid_parameter("last_event_id", "it goes with 'watch'")
    wanted = KvFilter(prefix=prefix, keys=split(keys), start=start, end=end)
    included = _included(include)
    if at is not None:
        return list_at(services, name, at, wanted, limit, cursor, included)
    position = decode_cursor(cursor, 1)
    after = position[0] if position else ""
    now, with_values = services.clock.now(), "keys" not in included
    with services.database.read() as connection:
        if with_values:
            sizes = list_sizes(connection, name, wanted, now, after=after, limit=limit)
            limit = max(len(fitting(sizes, int)), 1)
        found = list_entries(
            connection, name, wanted, now, after=after, limit=limit + 1, with_values=with_values
        )
        counted = count_entries(connection, name, wanted, now) if "count" in included else None
    page, following = paginate(found, limit, lambda entry: [entry.key])
    shown: KvEntriesOut = {
        "items": [show_entry(entry, with_value=with_values) for entry in page],
        "next_cursor": following,
    }
    if counted is not None:
        shown["count"], shown["bytes"] = counted
    return send(reply(200, shown))


@routes.delete("", response_model=KvDeletedOut, responses=describe(404))
async def delete_prefix(
    services: Served,
    caller: WritesKv,
    name: Name,
    prefix: Annotated[str, Query(pattern=KEY_PREFIX_PATTERN, min_length=1)],
) -> Response:
    """Delete all entries whose key starts with `prefix`, all or none; those of Rota stay."""
    command = DeletePrefix(task=name, prefix=prefix, by=caller.label)
    deleted = await services.writer.run(
        logged(Action.KV_DELETED, command, Entries(name, prefix=prefix))
    )
    return send(reply(200, KvDeletedOut(deleted=deleted)))


@routes.post(
    "/transaction",
    response_model=KvTransactionOut,
    responses=describe(
        "not-found",
        "operation-failed",
        "kv-full",
        "quota-exceeded",
        "invalid-key",
        "kv-schema",
        "sealed",
    ),
)
async def transact(
    services: Served, caller: WritesKv, name: Name, body: KvTransactionIn
) -> Response:
    """Execute operations on entries of the task, in order: all of them, or none and 409 with the one that failed.

    With a key that may not read the kv, the entries are returned without their values.
    """
    command = Transact(
        task=name,
        operations=tuple(_operations(services, body)),
        by=caller.label,
        limits=KvLimits.of(services.settings),
    )
    subjects = Entries(name, [each.key for each in command.operations])
    changed = logged(Action.KV_CHANGED, command, subjects)
    made = await services.writer.run(within(caller, Counted.KV_BYTES, changed))
    # A `set_once` of what is there, an `expire` or an `append` would read it.
    items = [show_entry(each, with_value=caller.may(Scope.KV_READ)) for each in made.entries]
    return send(reply(200, KvTransactionOut(items=items)))


@routes.get(
    "/{key}",
    response_model=KvEntryOut,
    responses=describe("not-found", "sealed", also=READABLE | _UNCHANGED),
)
async def read(
    request: Request,
    services: Served,
    _caller: ReadsKv,
    name: Name,
    key: Key,
    _match: IfNoneMatchTag = None,
) -> Response:
    """Read an entry. A value that is not JSON is returned as it was written, with its content type."""
    owner, entry = await services.reader.run(find_entry, name, key, services.clock.now())
    tag = etag(owner, entry.version)
    if none_match(request, tag):
        return Response(status_code=304, headers={"etag": tag})
    return send_value(entry, tag)


@routes.put(
    "/{key}",
    response_model=KvEntryOut,
    responses=describe(
        "not-found",
        "kv-full",
        "quota-exceeded",
        "precondition-failed",
        "too-large",
        "invalid-key",
        "kv-schema",
        "sealed",
        also={201: {"model": KvEntryOut, "description": "Created."}},
    ),
    openapi_extra=WRITABLE,
)
async def write(
    request: Request,
    services: Served,
    caller: WritesKv,
    name: Name,
    key: Key,
    ttl: Annotated[
        str | None, Query(description="How long a value that is not JSON is kept.", examples=["1h"])
    ] = None,
    _match: IfMatch = None,
    _none_match: IfNoneMatch = None,
) -> Response:
    """Write an entry, optionally on condition: JSON, or bytes with their own content type."""
    limits = KvLimits.of(services.settings)
    check_key(key, limits)
    value = await read_value(request, key, ttl, services.settings.max_value_bytes)
    command = Transact(
        task=name,
        operations=(value,),
        by=caller.label,
        expected=precondition(request),
        limits=limits,
    )
    changed = logged(Action.KV_SET, command, Entries(name, (key,)))
    try:
        made = await services.writer.run(within(caller, Counted.KV_BYTES, changed))
    except DoesNotFit as error:
        raise error.moved("/value") from None
    [entry] = made.entries
    headers = {"etag": etag(made.task_id, entry.version)}
    return send(reply(201 if made.created else 200, show_entry(entry), headers))


@routes.delete(
    "/{key}",
    status_code=204,
    response_class=Response,
    responses=describe("not-found", "precondition-failed", "invalid-key"),
)
async def delete(
    request: Request,
    services: Served,
    caller: WritesKv,
    name: Name,
    key: Key,
    _match: IfMatch = None,
) -> Response:
    """Delete an entry."""
    check_key(key)
    command = Transact(
        task=name,
        operations=(Delete(key),),
        by=caller.label,
        expected=precondition(request),
        must_exist=True,
    )
    await services.writer.run(logged(Action.KV_DELETED, command, Entries(name, (key,))))
    return Response(status_code=204)


def _operations(services: Services, body: KvTransactionIn) -> Iterator[Operation]:
    limits = KvLimits.of(services.settings)
    for index, requested in enumerate(body.operations):
        try:
            operation = requested.operation(limits.value_bytes)
            check_key(requested.key, limits if writes_key(operation) else None)
            yield operation
        except AppError as error:
            pointer = f"/operations/{index}"
            faults = [Fault(pointer + each.pointer, each.detail) for each in error.faults]
            faults = faults or [Fault(pointer, error.detail)]
            raise type(error)(f"{pointer}: {error.detail}", *faults, slug=error.slug) from None


def _only_watch(request: Request) -> None:
    others = sorted(set(request.query_params) - _WATCH_PARAMETERS)
    if others:
        raise invalid_parameter("watch", f"it selects the entries itself; leave {others[0]!r} out")


def _included(given: list[str] | None) -> frozenset[str]:
    included = frozenset(split(given)) or frozenset(["values"])
    if not included <= _INCLUDED or {"keys", "values"} <= included:
        raise invalid_parameter("include", "give 'values' or 'keys', and optionally 'count'")
    return included
