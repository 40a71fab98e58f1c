"""The states of the tasks with a tag whose badges are public: what a status page shows, without a key."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field
from typing_extensions import TypedDict

from rota.api.http.access import ReadsRunsOrIsAnonymous
from rota.api.http.responses import reply, send
from rota.api.http.routing import router
from rota.api.http.services import Served, Services
from rota.api.problems.problem import describe
from rota.domain.access.names import NameLimit
from rota.domain.tasks.definition import Tag
from rota.store.idempotency import Reply
from rota.store.stats.badges import MOST_ON_A_PAGE, public_states

routes: APIRouter = router("/v1/status", "runs")


class TaskStateOut(TypedDict):
    """The state of a task, as its badge shows it."""

    task: Annotated[str, Field(examples=["invoice-digest"])]
    state: Annotated[
        str,
        Field(
            description="passing, failing, late, held, paused, cancelled or no runs.",
            examples=["passing"],
        ),
    ]


class StatusOut(TypedDict):
    """The states of tasks."""

    tag: Annotated[str, Field(examples=["billing"])]
    items: Annotated[list[TaskStateOut], Field(description="By the name of the task.")]
    is_complete: Annotated[
        bool,
        Field(
            description=f"False: there are more public badges; the first {MOST_ON_A_PAGE} are here."
        ),
    ]


@routes.get("", response_model=StatusOut, responses=describe())
async def status(
    services: Served,
    caller: ReadsRunsOrIsAnonymous,
    tag: Annotated[Tag, Query(description="A tag of tasks.")],
) -> Response:
    """List the states of the tasks with a tag that have `"badge": "public"`, also without a key; no others.

    A tag that no such task has is answered in the same way as one that no task has.
    """
    return send(await services.computing.run(_states, services, tag, caller.tasks))


def _states(services: Services, tag: str, limit: NameLimit) -> Reply:
    with services.database.read() as connection:
        found = public_states(connection, tag, limit, services.clock.now())
    items = [TaskStateOut(task=each.label, state=each.message) for each in found[:MOST_ON_A_PAGE]]
    shown = StatusOut(tag=tag, items=items, is_complete=len(found) <= MOST_ON_A_PAGE)
    return reply(200, shown)
