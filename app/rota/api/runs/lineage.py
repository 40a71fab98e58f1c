"""GET /v1/runs/{id}/lineage: the runs that have led to a run, and those that have followed."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field
from typing_extensions import TypedDict

from rota.api.http.access import ReadsRuns
from rota.api.http.formats import InstantText, show_instant
from rota.api.http.responses import reply, send
from rota.api.http.routing import router
from rota.api.http.services import Served, Services
from rota.api.problems.problem import describe
from rota.domain.access.names import NameLimit
from rota.domain.primitives.ids import GivenId, Id
from rota.domain.primitives.times.instants import format_instant
from rota.domain.runs.lineage import LinkKind
from rota.domain.runs.model import Run
from rota.domain.runs.status import RunStatus, Trigger
from rota.store.runs.graph import MOST_NODES, graph_of
from rota.store.runs.reading import find_run

routes: APIRouter = router("/v1/runs", "runs")

_RUN = "018bcfe5-6800-7000-8000-000000000001"


class NodeOut(TypedDict):
    """A run of the graph."""

    id: Annotated[str, Field(description="Its id.", examples=[_RUN])]
    task: Annotated[str, Field(description="Its task.", examples=["extract"])]
    trigger: Annotated[Trigger, Field(description="What made it.", examples=["after"])]
    status: Annotated[RunStatus, Field(description="Its status.", examples=["succeeded"])]
    reason: Annotated[str | None, Field(description="Why it did not succeed.", examples=[None])]
    chain_id: Annotated[str, Field(description="Its chain.", examples=[_RUN])]
    scheduled_for: Annotated[InstantText, Field(description="Its fire time.")]
    started_at: Annotated[InstantText | None, Field(description="When its latest attempt started.")]
    finished_at: Annotated[InstantText | None, Field(description="When it ended.")]


class LinkOut(TypedDict):
    """A link: one run has led to another."""

    fed_by: Annotated[str, Field(description="The earlier run.", examples=[_RUN])]
    run: Annotated[str, Field(description="The later run.", examples=[_RUN])]
    kind: Annotated[LinkKind, Field(description="How it has led to it.", examples=["after"])]


class LineageOut(TypedDict):
    """Runs that are linked with a run, directly or by others."""

    chain_id: Annotated[str, Field(description="The chain of the run.", examples=[_RUN])]
    runs: Annotated[
        list[NodeOut], Field(description="The runs, the earliest `scheduled_for` first.")
    ]
    links: Annotated[list[LinkOut], Field(description="The links between them.")]
    is_complete: Annotated[
        bool,
        Field(
            description=f"False: there are more than {MOST_NODES:,}; these are the nearest ones.",
            examples=[True],
        ),
    ]


@routes.get(
    "/{id}/lineage", response_model=LineageOut, responses=describe("not-found", "unavailable")
)
async def lineage(services: Served, caller: ReadsRuns, id: GivenId) -> Response:
    """Return the runs that a run has followed from and those that have followed from it, over any number of links.

    A key that is limited to some tasks sees the runs of these, as far as links between them lead.
    """
    return send(reply(200, await services.computing.run(_lineage, services, id, caller.tasks)))


def _lineage(services: Services, id: Id, visible: NameLimit) -> LineageOut:
    with services.database.read() as connection:
        of = find_run(connection, id, visible)
        graph = graph_of(connection, id, visible)
    return {
        "chain_id": of.chain,
        "runs": [_show(each) for each in graph.runs],
        "links": [
            {"fed_by": each.fed_by, "run": each.run, "kind": each.kind} for each in graph.links
        ],
        "is_complete": graph.is_complete,
    }


def _show(run: Run) -> NodeOut:
    return {
        "id": run.id,
        "task": run.task,
        "trigger": run.trigger,
        "status": run.status,
        "reason": run.reason,
        "chain_id": run.chain,
        "scheduled_for": format_instant(run.scheduled_for),
        "started_at": show_instant(run.started_at),
        "finished_at": show_instant(run.finished_at),
    }
