"""Liveness, readiness and metrics: for load balancers and Prometheus."""

from typing import Annotated, NotRequired

from fastapi import APIRouter, Request, Response
from pydantic import Field
from typing_extensions import TypedDict

from rota.api.http.access import ReadsAllRuns, sees_all
from rota.api.http.responses import reply, send
from rota.api.http.routing import router
from rota.api.http.services import Served, Services
from rota.api.problems.problem import describe
from rota.db import migrations
from rota.domain.time_zones.zone import database
from rota.errors import Unavailable

routes: APIRouter = router("", "system")


class HealthOut(TypedDict):
    """Whether the process runs."""

    status: str


class ReadyOut(HealthOut):
    """Whether the service can serve; with a key that is not limited to some tasks also details."""

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
    """Return whether the service can serve: database, schema, firing, writer, lease, handlers.

    Details are for clients with a key that is not limited to some tasks.
    """
    try:
        _check(services)
    except Unavailable:
        if sees_all(request):
            raise
        raise Unavailable("Not ready.", slug="not-ready") from None
    shown = _details(services) if sees_all(request) else HealthOut(status="ok")
    return send(reply(200, shown))


@routes.get(
    "/metrics",
    response_class=Response,
    responses=describe(
        also={200: {"content": {"text/plain": {}}, "description": "Prometheus text."}}
    ),
)
def metrics(services: Served, _caller: ReadsAllRuns) -> Response:
    """Return the metrics, for Prometheus; not with a key that is limited to some tasks."""
    shown = services.metrics
    shown.pass_age.set(services.firing_age())
    shown.ready.set(not services.troubles() and services.database.trouble() is None)
    return Response(shown.render(), media_type="text/plain; version=0.0.4; charset=utf-8")


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
