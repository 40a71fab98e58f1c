"""GET /v1/runs/{id}/kv: what a run has changed in the key-value table of its task."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field
from typing_extensions import TypedDict

from rota.api.http.access import ReadsKv
from rota.api.http.pagination import MOST_BYTES, Cursor, Limit, decode_cursor, paginate
from rota.api.http.responses import reply, send
from rota.api.http.routing import router
from rota.api.http.services import Served
from rota.api.kv.response_models import KvEntryOut
from rota.api.kv.views import show_entry
from rota.api.problems.problem import describe
from rota.domain.primitives.ids import GivenId
from rota.store.kv.changed_by import KvChange, list_changes
from rota.store.runs.reading import find_run

routes: APIRouter = router("/v1/runs", "kv")


class KvChangeOut(TypedDict):
    """An entry that a run has written; of several writes the last one counts."""

    key: Annotated[str, Field(description="Its key.", examples=["cursor"])]
    before: Annotated[
        KvEntryOut | None,
        Field(description="As it was before the run; null: there was none, or it is not known."),
    ]
    before_is_known: Annotated[
        bool,
        Field(description="False: the history does not reach back so far.", examples=[True]),
    ]
    after: Annotated[
        KvEntryOut | None, Field(description="As the run left it; null: it removed it.")
    ]


class KvChangesOut(TypedDict):
    """A page of the entries that a run has written, by key."""

    items: Annotated[list[KvChangeOut], Field(description="The entries.")]
    next_cursor: Annotated[
        str | None, Field(description="Null: there are no more.", examples=[None])
    ]


@routes.get("/{id}/kv", response_model=KvChangesOut, responses=describe("not-found", "sealed"))
def changed(
    services: Served, caller: ReadsKv, id: GivenId, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """List the entries that a run has written in the kv of its task: before it, and as it left them.

    As far as the history of the task (`kv_history`) has them. Tables of other tasks are not searched.
    """
    position = decode_cursor(cursor, 1)
    with services.database.read() as connection:
        run = find_run(connection, id, caller.tasks)
        after = position[0] if position else ""
        found = _fitting(list_changes(connection, run, after, limit + 1))
    page, following = paginate(found, limit, lambda each: [each.key], lambda each: each.size)
    return send(
        reply(200, KvChangesOut(items=[_show(each) for each in page], next_cursor=following))
    )


def _fitting(changes: Iterator[KvChange]) -> list[KvChange]:
    """Read changes up to the one that a page has no room for."""
    found: list[KvChange] = []
    size = 0
    for each in changes:
        found.append(each)
        size += each.size
        if size > MOST_BYTES and len(found) > 1:
            break
    return found


def _show(change: KvChange) -> KvChangeOut:
    before, after = change.before, change.after
    return {
        "key": change.key,
        "before": None if before is None else show_entry(before.entry),
        "before_is_known": change.known,
        "after": None if after.deleted else show_entry(after.entry),
    }
