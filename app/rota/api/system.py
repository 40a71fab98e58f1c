"""Is it alive, can it serve, what has it done: for load balancers and Prometheus."""

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from rota.api.http.responses import reply, send
from rota.api.http.routing import router
from rota.api.http.services import Served, Services, is_known
from rota.api.problems.problem import describe
from rota.db import migrations
from rota.domain.time_zones.zone import database
from rota.errors import Unavailable

routes: APIRouter = router("", "system")


class HealthOut(BaseModel):
    """Yes or no."""

    status: str


class ReadyOut(HealthOut):
    """Yes or no; with a key also why."""

    firing_pass_age: float | None = None
    tzdata: str | None = Field(
        None, description="The time zone database that fire times are computed with."
    )
    warnings: list[str] | None = Field(
        None, description="What is not as it should be, though the service can serve."
    )


@routes.get("/healthz", response_model=HealthOut, responses=describe())
async def healthz() -> Response:
    """Tell whether the process is alive."""
    return send(reply(200, {"status": "ok"}))


@routes.get("/readyz", response_model=ReadyOut, responses=describe("not-ready"))
def readyz(request: Request, services: Served) -> Response:
    """Tell whether the service can serve: database, schema, firing, writer, lease, handlers (why not: with a key)."""
    try:
        _check(services)
    except Unavailable:
        if is_known(request):
            raise
        raise Unavailable("Not ready.", slug="not-ready") from None
    return send(reply(200, {"status": "ok", **(_details(services) if is_known(request) else {})}))


@routes.get(
    "/metrics",
    response_class=Response,
    responses=describe(
        also={200: {"content": {"text/plain": {}}, "description": "Prometheus text."}}
    ),
)
def metrics(services: Served) -> Response:
    """Tell what was done, for Prometheus."""
    services.metrics.pass_age.set(services.firing_age())
    return Response(
        services.metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8"
    )


def _details(services: Services) -> dict[str, Any]:
    return {
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
