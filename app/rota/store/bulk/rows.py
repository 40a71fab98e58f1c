"""Bulk operations: their rows, read and listed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, case, false, func, select

from rota.db.expressions.byte_lengths import byte_length
from rota.db.tables import bulk, bulk_item, run, task
from rota.db.types import is_one_of, spelled_out
from rota.domain.access.names import UNLIMITED, NameLimit
from rota.domain.access.quotas import Counted, Quota
from rota.domain.bulk.model import (
    Bulk,
    BulkStatus,
    BulkVerb,
    Foreseen,
    Item,
    ItemResult,
    Request,
)
from rota.domain.bulk.selector import RunSelector
from rota.domain.primitives.ids import Id
from rota.domain.primitives.json import json_text
from rota.errors import NotFound
from rota.store.bulk.selection import OF_TASK, read_selection
from rota.store.runs.reading import MOST_LISTED

_ONE = select(bulk).where(bulk.c.id == bindparam("g_id", type_=bulk.c.id.type))
_STATUS = _ONE.with_only_columns(bulk.c.status)
# Rows read at a time; what a key may see of them is decided here.
_PAGE = 200
# In a list an input of more bytes is left out, as in lists of runs.
_LEFT_OUT = func.coalesce(byte_length(bulk.c.input) > MOST_LISTED, false())
_LISTED: Select[Any] = select(
    *(column for column in bulk.c if column.name != "input"),
    case((_LEFT_OUT, None), else_=bulk.c.input).label("input"),
    _LEFT_OUT.label("left_out"),
).order_by(bulk.c.id.desc())
_RESULTS = (
    select(bulk_item.c.bulk_id, bulk_item.c.result, func.count().label("runs"))
    .where(is_one_of(bulk_item.c.bulk_id, "g_ids"))
    .group_by(bulk_item.c.bulk_id, bulk_item.c.result)
)
_RUNNING = select(bulk).where(bulk.c.status == spelled_out(BulkStatus.RUNNING)).order_by(bulk.c.id)


def find_bulk(
    connection: Connection, id: Id, limit: NameLimit = UNLIMITED, *, lock: bool = False
) -> Bulk:
    """Return an operation; raises NotFound, also for one about tasks that the client may not see (`limit`)."""
    wanted = _ONE.with_for_update() if lock else _ONE
    row = connection.execute(wanted, {"g_id": id}).one_or_none()
    found = None if row is None else to_bulk(row)
    if found is None or not covers_all(limit, found.request.limit):
        raise NotFound(f"There is no bulk operation {id}.")
    return found


def is_running(connection: Connection, id: Id) -> bool:
    """Return whether an operation continues."""
    return connection.execute(_STATUS, {"g_id": id}).scalar_one_or_none() == BulkStatus.RUNNING


def covers_all(limit: NameLimit, other: NameLimit) -> bool:
    """Return whether a limit allows every name that another one does."""
    if limit.is_unlimited:
        return True
    return other.prefixes is not None and all(limit.covers(each) for each in other.prefixes)


def running(connection: Connection) -> list[Bulk]:
    """Return the operations that are to be continued, the oldest first."""
    return [to_bulk(row) for row in connection.execute(_RUNNING)]


def list_bulks(connection: Connection, limit: NameLimit, after: Id | None, most: int) -> list[Bulk]:
    """Return up to `most` operations, the newest first, from the id `after` on: those that a client may see.

    Large inputs are left out.
    """
    found: list[Bulk] = []
    while len(found) < most:
        page = _page(connection, after)
        found += (each for each in page if covers_all(limit, each.request.limit))
        if len(page) < _PAGE:
            break
        after = page[-1].id
    return found[:most]


def _page(connection: Connection, after: Id | None) -> list[Bulk]:
    wanted = _LISTED.limit(_PAGE)
    if after is not None:
        wanted = wanted.where(bulk.c.id < after)
    rows = connection.execute(wanted)
    return [replace(to_bulk(row), input_left_out=bool(row.left_out)) for row in rows]


def results(connection: Connection, of: Bulk) -> dict[ItemResult, int]:
    """Return how many runs have had each result."""
    return results_of(connection, [of])[of.id]


def results_of(connection: Connection, bulks: Sequence[Bulk]) -> dict[Id, dict[ItemResult, int]]:
    """Return how many runs of each operation have had each result, by its id: one statement for all of them."""
    found: dict[Id, dict[ItemResult, int]] = {each.id: {} for each in bulks}
    for row in connection.execute(_RESULTS, {"g_ids": list(found)}):
        found[row.bulk_id][ItemResult(row.result)] = row.runs
    return found


def list_items(
    connection: Connection,
    of: Bulk,
    wanted: Sequence[ItemResult],
    *,
    pending: bool,
    after: int,
    limit: int,
) -> list[Item]:
    """Return up to `limit` items from the position behind `after` on: with these results, and those without any yet."""
    found = _dealt_with(connection, of, wanted, after, limit) if wanted else []
    if pending and len(found) < limit:
        found += _pending(connection, of, max(after + 1, of.position), limit - len(found))
    return found


def _dealt_with(
    connection: Connection, of: Bulk, wanted: Sequence[ItemResult], after: int, limit: int
) -> list[Item]:
    listing = select(*(bulk_item.c[name] for name in Item._fields)).where(
        bulk_item.c.bulk_id == of.id, bulk_item.c.position > after
    )
    if len(wanted) < len(ItemResult):
        listing = listing.where(bulk_item.c.result.in_(wanted))
    rows = connection.execute(listing.order_by(bulk_item.c.position).limit(limit))
    return [Item._make(row)._replace(result=ItemResult(row.result)) for row in rows]


def _pending(connection: Connection, of: Bulk, position: int, limit: int) -> list[Item]:
    found = read_selection(connection, of.id, position, limit)
    if found and len(found) < limit:  # the rest is in the next row
        found += read_selection(connection, of.id, found[-1].position + 1, limit - len(found))
    ids = [each.run_id for each in found]
    names = select(run.c.id, task.c.name).join(task, OF_TASK).where(run.c.id.in_(ids))
    tasks: Mapping[Id, str] = {row.id: row.name for row in connection.execute(names)}
    return [Item(each.position, each.run_id, tasks.get(each.run_id), None) for each in found]


def to_bulk(row: Row[Any]) -> Bulk:
    """Return the operation of a row."""
    return Bulk(
        id=row.id,
        request=Request(
            verb=BulkVerb(row.verb),
            selector=RunSelector.model_validate_json(row.selector),
            limit=read_limit(row.prefixes),
            input=row.input,
            max_concurrent=row.max_concurrent,
            traceparent=row.traceparent,
        ),
        status=BulkStatus(row.status),
        runs=row.runs,
        truncated=row.truncated,
        position=row.position,
        statuses=json_text.loads(row.statuses),
        foreseen=tuple(Foreseen(**each) for each in json_text.loads(row.foreseen)),
        quota=_read_quota(row.quota),
        created_at=row.created_at,
        created_by=row.created_by,
        expires_at=row.expires_at,
        confirmed_at=row.confirmed_at,
        confirmed_by=row.confirmed_by,
        finished_at=row.finished_at,
        reason=row.reason,
    )


def write_limit(limit: NameLimit) -> str | None:
    """Return the column's text for a limit."""
    return None if limit.prefixes is None else json_text.dumps(list(limit.prefixes))


def read_limit(text: str | None) -> NameLimit:
    """Return the limit of a column."""
    return UNLIMITED if text is None else NameLimit(tuple(json_text.loads(text)))


def write_quota(quota: Quota | None) -> str | None:
    """Return the column's text for a quota of unfinished runs."""
    if quota is None:
        return None
    prefixes = None if quota.tasks.prefixes is None else list(quota.tasks.prefixes)
    return json_text.dumps({"allowed": quota.allowed, "prefixes": prefixes})


def _read_quota(text: str | None) -> Quota | None:
    if text is None:
        return None
    fields = json_text.loads(text)
    prefixes = fields["prefixes"]
    limit = UNLIMITED if prefixes is None else NameLimit(tuple(prefixes))
    return Quota(Counted.UNFINISHED_RUNS, fields["allowed"], limit)
