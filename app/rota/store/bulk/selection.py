"""The runs that a bulk operation is for: found by a reader, then stored, many in a row."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, bindparam, insert, or_, select

from rota.db.tables import bulk_selection, run, task
from rota.domain.access.names import NameLimit
from rota.domain.bulk.model import Foreseen, Request, Selection, foreseen_detail, refusal
from rota.domain.bulk.selector import RunSelector
from rota.domain.primitives.ids import Id, from_hex
from rota.domain.runs.status import RunStatus
from rota.domain.tasks.definition import TaskStatus
from rota.store.json_columns import filed_type
from rota.store.runs.listing.filters import RunFilter, error_contains, matching_runs

#: Runs of one operation.
MOST_RUNS = 100_000
#: Runs in a row of `bulk_selection`.
IN_A_ROW = 1_000
_ID = 16

OF_TASK = and_(task.c.id == run.c.task_id, task.c.deleted_at.is_(None))
_STORED = select(bulk_selection.c.run_ids, bulk_selection.c.ended).where(
    bulk_selection.c.bulk_id == bindparam("g_id", type_=bulk_selection.c.bulk_id.type),
    bulk_selection.c.first == bindparam("g_first"),
)


class Selected(NamedTuple):
    """A run that was selected, its position, and whether it had ended then."""

    position: int
    run_id: Id
    ended: bool


def conditions(selector: RunSelector, limit: NameLimit) -> list[ColumnElement[bool]]:
    """Return the conditions that a selected run meets; the statement joins its task (`OF_TASK`)."""
    wanted = RunFilter(
        task=selector.task,
        tag=selector.tags,
        all_tags=selector.all_tags,
        status=selector.status,
        reason=selector.reason,
        error_text=selector.error_text,
        trigger=selector.trigger,
        scheduled_from=selector.scheduled_from,
        scheduled_to=selector.scheduled_to,
        finished_from=selector.finished_from,
        finished_to=selector.finished_to,
        limit=limit,
    )
    return [*matching_runs(wanted), *_with_error(selector.error)]


def _with_error(errors: Sequence[str]) -> Iterator[ColumnElement[bool]]:
    """Yield the condition that the error of a run has one of these types, or one of these texts in its message."""
    if not errors:
        return
    yield or_(
        run.c.error_type.in_([filed_type(each) for each in errors]),
        *map(error_contains, errors),
    )


def select_runs(connection: Connection, request: Request, most: int = MOST_RUNS) -> Selection:
    """Return the runs that match now, those with the earliest fire times first, and what would be refused."""
    listing = (
        select(run.c.id, run.c.status, task.c.status)
        .join(task, OF_TASK)
        .where(*conditions(request.selector, request.limit))
        .order_by(run.c.scheduled_for, run.c.id)
        .limit(most + 1)
    )
    found = [(id, status, of_task) for id, status, of_task in connection.execute(listing)]
    kept = found[:most]
    kinds = Counter((status, of_task) for _, status, of_task in kept)
    statuses = Counter(status for _, status, _ in kept)
    return Selection(
        run_ids=[id for id, *_ in kept],
        ended=[RunStatus(status).final for _, status, _ in kept],
        statuses={str(each): statuses[each] for each in RunStatus if statuses[each]},
        foreseen=_foreseen(request, kinds.items()),
        truncated=len(found) > most,
    )


def _foreseen(
    request: Request, kinds: Iterable[tuple[tuple[str, str], int]]
) -> tuple[Foreseen, ...]:
    """Return what would be refused of so many runs of each status, of tasks of each status."""
    refused: Counter[tuple[str, str]] = Counter()
    for (status, of_task), number in kinds:
        why = refusal(request.verb, Id(""), RunStatus(status), "", TaskStatus(of_task))
        if why is not None:
            refused[why.slug, foreseen_detail(request.verb, RunStatus(status))] += number
    return tuple(
        Foreseen(slug=slug, detail=detail, runs=number)
        for (slug, detail), number in sorted(refused.items())
    )


def store_selection(connection: Connection, bulk_id: Id, selection: Selection) -> None:
    """Store the runs of an operation."""
    rows = [
        {
            "bulk_id": bulk_id,
            "first": first,
            "run_ids": b"".join(
                bytes.fromhex(id.replace("-", ""))
                for id in selection.run_ids[first : first + IN_A_ROW]
            ),
            "ended": "".join(str(int(each)) for each in selection.ended[first : first + IN_A_ROW]),
        }
        for first in range(0, len(selection.run_ids), IN_A_ROW)
    ]
    if rows:
        connection.execute(insert(bulk_selection), rows)


def read_selection(
    connection: Connection, bulk_id: Id, position: int, limit: int
) -> list[Selected]:
    """Return up to `limit` runs of an operation from a position on; perhaps fewer, but one if there is one."""
    first = position // IN_A_ROW * IN_A_ROW
    row: Any = connection.execute(_STORED, {"g_id": bulk_id, "g_first": first}).one_or_none()
    if row is None:
        return []
    offset = position - first
    return [
        Selected(first + index, _id_at(row.run_ids, index), row.ended[index] == "1")
        for index in range(offset, min(offset + limit, len(row.ended)))
    ]


def _id_at(ids: bytes, index: int) -> Id:
    return from_hex(ids[index * _ID : (index + 1) * _ID].hex())
