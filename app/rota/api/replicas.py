"""The replicas: which processes serve, since when, and what they know."""

import os
import socket
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field
from typing_extensions import TypedDict

from rota.api.http.access import ReadsAllRuns
from rota.api.http.formats import InstantText
from rota.api.http.responses import reply, send
from rota.api.http.routing import router
from rota.api.http.services import Served
from rota.api.problems.problem import describe
from rota.domain.primitives.times.instants import format_instant
from rota.store.replicas import Replica, list_replicas

routes: APIRouter = router("/v1/replicas", "system")


class ReplicaOut(TypedDict):
    """A process of the service."""

    id: Annotated[str, Field(examples=["019ab5c2-7c1e-7d3a-9c55-0b0f6a1f2e10"])]
    host: Annotated[str, Field(description="The host that it runs on.", examples=["rota-1"])]
    pid: Annotated[int, Field(description="Its process there.", examples=[7])]
    self: Annotated[bool, Field(description="It has served this request.", examples=[True])]
    live: Annotated[
        bool,
        Field(description="Its lease lasts; else another takes over its runs.", examples=[True]),
    ]
    started_at: Annotated[InstantText, Field(description="When it started.")]
    lease_expires_at: Annotated[
        InstantText,
        Field(
            description="Until when its lease lasts, unless it is renewed; with SQLite it has no end."
        ),
    ]
    tzdata: Annotated[
        str | None,
        Field(
            description="The time zone database that it computes fire times with.",
            examples=["2026f"],
        ),
    ]
    handlers: Annotated[
        list[str], Field(description="The handlers that it knows.", examples=[["http"]])
    ]


class ReplicasOut(TypedDict):
    """All replicas, the one that was started first before the others."""

    items: list[ReplicaOut]


@routes.get("", response_model=ReplicasOut, responses=describe())
def list_all(services: Served, _caller: ReadsAllRuns) -> Response:
    """List the processes of the service; not with a key that is limited to some tasks."""
    with services.database.read() as connection:
        found = list_replicas(connection)
    return send(reply(200, ReplicasOut(items=[_show(each) for each in found])))


def _show(of: Replica) -> ReplicaOut:
    return {
        "id": of.id,
        "host": of.host,
        "pid": of.pid,
        "self": (of.host, of.pid) == (socket.gethostname(), os.getpid()),
        "live": of.live,
        "started_at": format_instant(of.started_at),
        "lease_expires_at": format_instant(of.lease_expires_at),
        "tzdata": of.zone_release,
        "handlers": list(of.handlers),
    }
