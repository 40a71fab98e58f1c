"""Liveness, readiness and metrics: for load balancers and Prometheus."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, NotRequired

from fastapi import APIRouter, Request, Response
from pydantic import Field
from typing_extensions import TypedDict

from rota.api.http.access import ReadsRuns, is_known
from rota.api.http.responses import reply, send
from rota.api.http.routing import router
from rota.api.http.services import Served, Services
from rota.api.problems.problem import describe
from rota.db import migrations
from rota.domain.access.principal import Principal
from rota.domain.time_zones.zone import database
from rota.errors import Unavailable

routes: APIRouter = router("", "system")


class HealthOut(TypedDict):
    """Whether the process runs."""

    status: str


class ReadyOut(HealthOut):
    """Whether the service can serve; with a key also details."""

    firing_pass_age: NotRequired[Annotated[float | None, Field(None)]]
    tzdata: NotRequired[
        Annotated[
            str | None,
            Field(None, description="The time zone database that fire times are computed with."),
        ]
    ]
    warnings: NotRequired[
        Annotated[
            list[str] | None,
            Field(None, description="Problems that do not keep the service from serving."),
        ]
    ]


@routes.get("/healthz", response_model=HealthOut, responses=describe())
async def healthz() -> Response:
    """Return whether the process is alive."""
    return send(reply(200, HealthOut(status="ok")))


@routes.get("/readyz", response_model=ReadyOut, responses=describe("not-ready"))
def readyz(request: Request, services: Served) -> Response:
    """Return whether the service can serve: database, schema, firing, writer, lease, handlers (details: with a key)."""
    try:
        _check(services)
    except Unavailable:
        if is_known(request):
            raise
        raise Unavailable("Not ready.", slug="not-ready") from None
    shown = _details(services) if is_known(request) else HealthOut(status="ok")
    return send(reply(200, shown))


@routes.get(
    "/metrics",
    response_class=Response,
    responses=describe(
        also={200: {"content": {"text/plain": {}}, "description": "Prometheus text."}}
    ),
)
def metrics(services: Served, caller: ReadsRuns) -> Response:
    """Return the metrics, for Prometheus; of tasks and queues, those that the key is not excluded from."""
    shown = services.metrics
    shown.pass_age.set(services.firing_age())
    shown.ready.set(not services.troubles() and services.database.trouble() is None)
    is_limited = not (caller.tasks.is_unlimited and caller.queues.is_unlimited)
    text = shown.render(partial(may_see, caller) if is_limited else None)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


def may_see(caller: Principal, labels: Mapping[str, str]) -> bool:
    """Return whether a key may see a series: names of other teams' tasks, queues and hosts are not for it."""
    if not caller.tasks.is_unlimited and "host" in labels:
        return False
    task, queue = labels.get("task"), labels.get("queue")
    return (task is None or caller.tasks.covers(task)) and (
        queue is None or caller.queues.covers(queue)
    )


def _details(services: Services) -> ReadyOut:
    return {
        "status": "ok",
        "firing_pass_age": round(services.firing_age(), 3),
        "tzdata": database().version,
        "warnings": services.warnings(),
    }


def _check(services: Services) -> None:
    troubles = services.troubles()
    if troubles:
        raise Unavailable(f"{'; '.join(troubles)}.", slug="not-ready")
    broken = services.database.trouble()
    if broken is not None:
        raise Unavailable(broken, slug="not-ready")
    with services.database.read() as connection:
        migrations.check(connection)
