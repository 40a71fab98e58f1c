"""The history of the key-value table of a task: versions of an entry, the table at an earlier moment, and revert."""

from collections.abc import Collection
from contextlib import suppress
from datetime import datetime
from typing import Self

from fastapi import APIRouter, Response
from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError
from starlette.concurrency import run_in_threadpool

from rota.api.http.access import ReadsKv, WritesKv
from rota.api.http.audit_entries import logged
from rota.api.http.pagination import (
    MOST_BYTES,
    Cursor,
    Limit,
    decode_cursor,
    encode_cursor,
    foreign_cursor,
    paginate,
)
from rota.api.http.request_model import RequestModel
from rota.api.http.responses import reply, send
from rota.api.http.routing import router
from rota.api.http.services import Served, Services
from rota.api.http.validation import invalid_parameter
from rota.api.kv.parameters import Key
from rota.api.kv.response_models import (
    KvEntriesOut,
    KvRevertedOut,
    KvVersionOut,
    KvVersionsOut,
)
from rota.api.kv.views import show_entry
from rota.api.problems.problem import describe
from rota.domain.access.principal import Principal
from rota.domain.access.quotas import Counted
from rota.domain.audit.actions import Action
from rota.domain.kv.entries import KvLimits
from rota.domain.primitives.ids import GivenId, Id, to_id
from rota.domain.primitives.texts.names import Name
from rota.domain.primitives.times.instants import Instant, format_instant, parse_instant
from rota.domain.schedules.requested_times import parse_requested_time, zone_of
from rota.errors import Unplannable
from rota.store.access.quotas import within
from rota.store.audit.kv_subjects import Entries
from rota.store.kv.entries import KvFilter
from rota.store.kv.history.moments import Moment, find_moment
from rota.store.kv.history.reading import Version, list_historic_entries, list_versions
from rota.store.kv.history.revert import Reversion, Revert, TableChanged, compute_reversion
from rota.store.task_rows import find_task

routes: APIRouter = router("/v1/tasks/{name}/kv", "kv")

# A table that was written to in between is read again.
_TRIES = 10
_LONGEST_NUMBER = 18


class RevertIn(RequestModel):
    """The moment to revert to: one of the three."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"run": "01a20bd8-3c05-7058-ab7c-c61199886531"}]}
    )

    run: GivenId | None = Field(None, description="Just before the writes of this run.")
    at: Instant | None = Field(None, description="At this time.")
    revision: int | None = Field(None, strict=True, ge=0, description="At this revision.")
    dry_run: bool = Field(False, strict=True, description="Only return what would be done.")

    @model_validator(mode="after")
    def _one_of_three(self) -> Self:
        if sum(each is not None for each in (self.run, self.at, self.revision)) != 1:
            raise PydanticCustomError("revert", "give one of 'run', 'at' and 'revision'")
        return self

    @property
    def requested(self) -> datetime | Id | int:
        """The run, time or revision."""
        return next(each for each in (self.run, self.at, self.revision) if each is not None)


@routes.get(
    "/{key}/history",
    response_model=KvVersionsOut,
    responses=describe("not-found", "sealed"),
)
def history(
    services: Served,
    _caller: ReadsKv,
    name: Name,
    key: Key,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List the versions of an entry that are kept, the newest first: values, authors and times."""
    before = _number(cursor)
    with services.database.read() as connection:
        found, forgotten = list_versions(
            connection, name, key, before, limit + 1, most_bytes=2 * MOST_BYTES
        )
    page, following = paginate(
        found, limit, lambda each: [str(each.entry.version)], lambda each: each.entry.size
    )
    items = [_show_version(each, services.clock.now()) for each in page]
    shown = KvVersionsOut(items=items, next_cursor=following, incomplete=forgotten)
    return send(reply(200, shown))


@routes.post(
    "/revert",
    response_model=KvRevertedOut,
    responses=describe(
        "not-found",
        "history-too-short",
        "conflict",
        "kv-full",
        "quota-exceeded",
        "kv-schema",
        "sealed",
    ),
)
async def revert(services: Served, caller: WritesKv, name: Name, body: RevertIn) -> Response:
    """Restore the table as it was before a run, at a time or at a revision, in a new revision that can be reverted."""
    for _ in range(_TRIES - 1):
        with suppress(TableChanged):
            return await _revert(services, caller, name, body)
    return await _revert(services, caller, name, body)


def list_at(
    services: Services,
    name: str,
    at: str,
    wanted: KvFilter,
    limit: int,
    cursor: str | None,
    included: Collection[str],
) -> Response:
    """Return a page of a table as it was; later pages are of the same moment as the first one."""
    if "count" in included:
        raise invalid_parameter("include", "earlier entries are not counted: leave 'count' out")
    position = decode_cursor(cursor, 3)
    with services.database.read() as connection:
        if position is None:
            timezone = zone_of(find_task(connection, name).definition.schedule)
            requested = _read_at(at, timezone)
            moment = find_moment(connection, name, requested, services.clock.now())
        else:
            moment = _moment(position)
        page = list_historic_entries(
            connection,
            name,
            moment,
            wanted,
            after="" if position is None else position[0],
            limit=limit,
            most_bytes=MOST_BYTES,
            with_values="keys" not in included,
        )
    following = None if page.position is None else _position(page.position, moment)
    shown = KvEntriesOut(
        items=[show_entry(each, with_value="keys" not in included) for each in page.items],
        next_cursor=following,
        revision=moment.revision,
        incomplete=bool(page.missing) or not page.is_whole,
        missing=list(page.missing),
    )
    return send(reply(200, shown))


def _read_at(at: str, timezone: str) -> datetime | Id | int:
    """Return the time, run or revision that a query names; raises Invalid."""
    if at.isascii() and at.isdigit() and len(at) <= _LONGEST_NUMBER:
        return int(at)
    with suppress(ValueError):
        return to_id(at)
    try:
        return parse_requested_time(at, timezone).start
    except (ValueError, Unplannable) as error:
        raise invalid_parameter("at", f"{error}. Or give the id of a run, or a revision") from None


async def _revert(services: Services, caller: Principal, name: str, body: RevertIn) -> Response:
    reversion = await run_in_threadpool(_compute_reversion, services, name, body)
    revision = reversion.revision
    if not body.dry_run:
        limits = KvLimits.of(services.settings)
        command = Revert(task=name, reversion=reversion, by=caller.label, limits=limits)
        subjects = Entries(name, (*reversion.entries, *reversion.removed))
        changed = logged(Action.KV_REVERTED, command, subjects)
        revision = await services.writer.run(within(caller, Counted.KV_BYTES, changed))
    shown = KvRevertedOut(
        dry_run=body.dry_run,
        set=sorted(reversion.entries),
        deleted=sorted(reversion.removed),
        reverted_to=reversion.moment.revision,
        previous_revision=reversion.revision,
        revision=revision,
    )
    return send(reply(200, shown))


def _compute_reversion(services: Services, name: str, body: RevertIn) -> Reversion:
    now = services.clock.now()
    with services.database.read() as connection:
        moment = find_moment(connection, name, body.requested, now)
        return compute_reversion(connection, name, moment, now)


def _show_version(version: Version, now: datetime) -> KvVersionOut:
    entry = version.entry
    expired = version.is_present and entry.expires_at is not None and entry.expires_at <= now
    shown = show_entry(entry, with_value=not version.deleted)
    if version.deleted:
        del shown["content_type"], shown["size"]
    return {**shown, "deleted": version.deleted, "expired": expired}


def _position(key: str, moment: Moment) -> str:
    return encode_cursor([key, str(moment.revision), format_instant(moment.at)])


def _moment(position: list[str]) -> Moment:
    revision, at = position[1:]
    try:
        return Moment(_digits(revision), parse_instant(at))
    except ValueError:
        raise foreign_cursor() from None


def _number(cursor: str | None) -> int | None:
    position = decode_cursor(cursor, 1)
    try:
        return None if position is None else _digits(position[0])
    except ValueError:
        raise foreign_cursor() from None


def _digits(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER):
        raise ValueError(text)
    return int(text)
