"""Export and import of the key-value table of a task, as lines of JSON."""

from collections.abc import Iterator
from contextlib import ExitStack
from tempfile import TemporaryFile
from typing import IO, Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from rota.api.http.access import ReadsKv, WritesKv
from rota.api.http.audit_entries import logged
from rota.api.http.responses import reply, send
from rota.api.http.routing import BatchRoute, router
from rota.api.http.services import Served, Services
from rota.api.kv.ndjson import Lines, read_lines, write_line
from rota.api.kv.parameters import Prefix
from rota.api.kv.response_models import KvImportedOut
from rota.api.problems.problem import describe
from rota.domain.access.quotas import Counted
from rota.domain.audit.actions import Action
from rota.domain.kv.entries import KvLimits
from rota.domain.kv.schemas import DoesNotFit
from rota.domain.primitives.texts.names import Name
from rota.store.access.quotas import within
from rota.store.audit.kv_subjects import Entries
from rota.store.kv.bulk_import import Import
from rota.store.kv.entries import KvFilter, list_entries
from rota.store.kv.history.rows import has_history

routes: APIRouter = router("/v1/tasks/{name}/kv", "kv", BatchRoute)

NDJSON = "application/x-ndjson"
TEXT = "text/plain"
_LINE = '{"key":"cursor","value":8812,"expires_at":null,"version":7}\n'
_EXPORTED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "One entry per line.",
        "content": {NDJSON: {"schema": {"type": "string"}, "example": _LINE}},
    }
}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            TEXT: {"schema": {"type": "string"}},
            NDJSON: {"schema": {"type": "string"}, "example": _LINE},
        },
    }
}
# Entries in memory at a time, and bytes sent at a time.
_ENTRIES = 20
_CHUNK = 65_536


class _Export(StreamingResponse):
    """Sends a temporary file, which is removed when it is sent, or the client has disconnected."""

    def __init__(self, spool: IO[bytes]) -> None:
        headers = {"content-length": str(spool.tell())}
        spool.seek(0)
        super().__init__(_chunks(spool), headers=headers, media_type=NDJSON)
        self._spool = spool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._spool:
            await super().__call__(scope, receive, send)


@routes.get(
    "/export",
    response_class=StreamingResponse,
    responses=describe("not-found", "sealed", also=_EXPORTED),
)
def export(services: Served, _caller: ReadsKv, name: Name, prefix: Prefix = "") -> Response:
    """Export the entries as lines of JSON, by key; one snapshot, without expired entries and `_result`.

    `import` accepts these lines, for this task or another one.
    """
    # Written to a file first, so that a slow client does not keep a snapshot of the database open.
    with ExitStack() as stack:
        spool = stack.enter_context(TemporaryFile())
        _write(services, name, KvFilter(prefix=prefix), spool)
        stack.pop_all()
    return _Export(spool)


@routes.post(
    "/import",
    response_model=KvImportedOut,
    responses=describe(
        "not-found", "kv-full", "quota-exceeded", "too-large", "invalid-key", "kv-schema"
    ),
    openapi_extra=_BODY,
)
async def import_(
    request: Request,
    services: Served,
    caller: WritesKv,
    name: Name,
    mode: Annotated[
        Literal["merge", "replace"],
        Query(description="`replace` removes the entries that do not come; Rota's own stay."),
    ] = "merge",
) -> Response:
    """Import entries from lines of JSON, all or nothing; a fault points at its line (`/417/value`, from 1).

    Lines as `export` returns them, up to 16 MiB. Entries that have expired meanwhile are left out.
    """
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given not in {NDJSON, TEXT}:
        raise HTTPException(
            415, f"Send one entry per line, with the header Content-Type: {NDJSON}."
        )
    limits, body = KvLimits.of(services.settings), await request.body()
    lines: Lines = await run_in_threadpool(read_lines, body, limits, services.clock.now())
    command = Import(
        task=name,
        entries=lines.entries,
        replace=mode == "replace",
        by=caller.label,
        limits=limits,
    )
    changed = logged(Action.KV_IMPORTED, command, _imported(command))
    try:
        made = await services.writer.run(within(caller, Counted.KV_BYTES, changed))
    except DoesNotFit as error:
        raise error.moved(f"/{lines.numbers[error.key]}/value") from None
    shown = KvImportedOut(
        set=made.set, unchanged=made.unchanged, expired=lines.expired, deleted=made.deleted
    )
    return send(reply(200, shown))


def _imported(command: Import) -> Entries:
    """Return the entries that an import may change."""
    prefix = "" if command.replace else None
    return Entries(command.task, tuple(command.entries), prefix)


def _write(services: Services, name: str, wanted: KvFilter, spool: IO[bytes]) -> None:
    after, now = "", services.clock.now()
    with services.database.read() as connection:
        while True:
            found = list_entries(connection, name, wanted, now, after=after, limit=_ENTRIES)
            for entry in found:
                if has_history(entry.key):
                    spool.write(write_line(entry))
            if len(found) < _ENTRIES:
                return
            after = found[-1].key


def _chunks(spool: IO[bytes]) -> Iterator[bytes]:
    while chunk := spool.read(_CHUNK):
        yield chunk
