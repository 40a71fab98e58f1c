"""GET /v1/audit: who changed what."""

from typing import Annotated, Any, cast

from fastapi import APIRouter, Query, Response
from pydantic import Field
from typing_extensions import TypedDict

from rota.api.http.access import Audits
from rota.api.http.formats import InstantText
from rota.api.http.pagination import (
    Cursor,
    Limit,
    decode_cursor,
    foreign_cursor,
    paginate,
    split,
)
from rota.api.http.requested_times import GivenTime, task_of, time_of
from rota.api.http.responses import reply, send
from rota.api.http.routing import router
from rota.api.http.services import Served
from rota.api.http.validation import checked_filter
from rota.api.problems.problem import describe
from rota.domain.audit.actions import Action, Kind
from rota.domain.primitives.ids import to_id
from rota.domain.primitives.json import json_text
from rota.domain.primitives.times.instants import format_instant, parse_instant
from rota.store.audit.reading import AuditFilter, Position, list_entries

routes: APIRouter = router("/v1/audit", "audit")

_State = dict[str, Any] | None


class SubjectOut(TypedDict):
    """What was changed."""

    kind: Annotated[
        Kind, Field(description="A `kv` is the key-value table of a task.", examples=["task"])
    ]
    name: Annotated[
        str,
        Field(
            description="Its name; of a run, a backfill, a bulk operation and a key the id.",
            examples=["digest"],
        ),
    ]
    task: Annotated[
        str | None, Field(description="The task that it is or belongs to.", examples=["digest"])
    ]


class EntryDataOut(TypedDict):
    """Who made a change, from where, and what differs."""

    id: Annotated[str, Field(examples=["019ab5c2-7c1e-7d3a-9c55-0b0f6a1f2e10"])]
    principal: Annotated[
        str,
        Field(
            description="The client, as in `updated_by`: `local`, `key:1` (of ROTA_API_KEY), or a stored key.",
            examples=["key:k4tz6m2p7qaw"],
        ),
    ]
    key_id: Annotated[
        str | None, Field(description="The id of a stored key.", examples=["k4tz6m2p7qaw"])
    ]
    address: Annotated[
        str | None,
        Field(
            description="Where the request came from; through a proxy of ROTA_TRUSTED_PROXIES, what that says.",
            examples=["192.0.2.7"],
        ),
    ]
    request_id: Annotated[
        str,
        Field(
            description="The `X-Request-Id` of the request, or of its response if it had none. What one request has "
            "changed has the same.",
            examples=["9f0c2b7a51de4f0e8b1c6f3f5a7d2e44"],
        ),
    ]
    subject: SubjectOut
    before: Annotated[
        _State,
        Field(
            description="The fields that differ, as they were; null if there was nothing before (of a kv, `{}`). A "
            "field of a task that is missing had its default. Of secret headers, secret inputs and kv values a keyed "
            "digest.",
            examples=[{"status": "active"}],
        ),
    ]
    after: Annotated[
        _State,
        Field(
            description="The same as they are since; null if it was removed (of a kv, `{}`).",
            examples=[{"status": "paused"}],
        ),
    ]
    details: Annotated[
        _State,
        Field(
            description="`bulk`: one of several that the request changed. `omitted_members`: how many more differ.",
            examples=[{"bulk": True}],
        ),
    ]


class EntryOut(TypedDict):
    """One change."""

    type: Annotated[str, Field(description="What was done.", examples=["task.paused"])]
    timestamp: InstantText
    data: EntryDataOut


class AuditOut(TypedDict):
    """A page of the log, newest first."""

    items: list[EntryOut]
    next_cursor: str | None


_Filter = Annotated[list[str] | None, Query()]


@routes.get("", response_model=AuditOut, responses=describe())
def list_all(
    services: Served,
    caller: Audits,
    limit: Limit = 50,
    cursor: Cursor = None,
    task: _Filter = None,
    principal: _Filter = None,
    action: Annotated[
        list[str] | None, Query(description="What was done.", examples=[["task.paused"]])
    ] = None,
    starts_at: Annotated[GivenTime, Query(alias="from")] = None,
    ends_at: Annotated[GivenTime, Query(alias="to")] = None,
) -> Response:
    """List changes that clients have made, newest first. Values of one filter are OR-ed, filters are AND-ed.

    A key that is limited to some tasks sees the changes of these. Entries are kept for ROTA_AUDIT_AGE. A date or a
    local time is in the time zone of the task, if `task` gives one.
    """
    names = split(task)
    clock_of = task_of(services, names, caller.tasks) if starts_at or ends_at else None
    first, last = time_of("from", starts_at, clock_of), time_of("to", ends_at, clock_of)
    wanted = AuditFilter(
        task=names,
        principal=split(principal),
        action=checked_filter("action", split(action), Action),
        starts_at=None if first is None else first.start,
        ends_at=None if last is None else last.last,
        tasks=caller.tasks,
    )
    after = _position(decode_cursor(cursor, 2))
    with services.database.read() as connection:
        found = list_entries(connection, wanted, after, limit + 1)
    page, following = paginate(found, limit, _position_of, _size)
    return send(reply(200, AuditOut(items=[_show(row) for row in page], next_cursor=following)))


def _show(row: Any) -> EntryOut:
    return {
        "type": row.action,
        "timestamp": format_instant(row.at),
        "data": {
            "id": row.id,
            "principal": row.principal,
            "key_id": row.key_id,
            "address": row.address,
            "request_id": row.request_id,
            "subject": {"kind": row.kind, "name": row.name, "task": row.task},
            "before": _read(row.before),
            "after": _read(row.after),
            "details": _read(row.details),
        },
    }


def _read(text: str | None) -> _State:
    return None if text is None else cast("_State", json_text.loads(text))


def _size(row: Any) -> int:
    return sum(len(text or "") for text in (row.before, row.after))


def _position_of(row: Any) -> list[str]:
    return [format_instant(row.at), row.id]


def _position(position: list[str] | None) -> Position | None:
    if position is None:
        return None
    try:
        return parse_instant(position[0]), to_id(position[1])
    except ValueError:
        raise foreign_cursor() from None
