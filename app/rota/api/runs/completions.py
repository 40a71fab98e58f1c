"""Attempts that continue outside of Rota: complete them, and report that they continue.

The token of the attempt is the authority: no API key is needed, from wherever the request comes. It is checked before
the body is read, so that a request without one costs next to nothing.
"""

from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from typing_extensions import TypedDict

from rota.api.http.formats import InstantText
from rota.api.http.responses import reply, send
from rota.api.http.routing import router
from rota.api.http.services import Served, Services
from rota.api.problems.problem import describe
from rota.api.runs.response_models import RunOut
from rota.api.runs.token_route import UNKNOWN, TokenRoute, grant_of
from rota.api.runs.views import show_attempt, show_run_with_attempts
from rota.domain.http_target.outcome_document import OutcomeIn
from rota.domain.kv.entries import KvLimits
from rota.domain.primitives.ids import GivenId
from rota.domain.primitives.json.json_text import printable
from rota.domain.primitives.times.instants import format_instant
from rota.domain.runs.model import Progress
from rota.errors import Conflict, LeaseLost, NotFound
from rota.store.completion.complete import Complete
from rota.store.completion.handoff import Heartbeat
from rota.store.completion.reported import reported
from rota.store.idempotency import Reply
from rota.store.runs.claiming.claim import leased_run
from rota.store.runs.claiming.tokens import Grant
from rota.store.runs.reading import find_run, list_attempts

_MOST_MESSAGE = 1_000


routes: APIRouter = router("/v1/runs", "runs", TokenRoute)

Token = Annotated[
    str | None,
    Header(
        alias="X-Rota-Token",
        description="The token of the attempt; `Authorization: Bearer <token>` will do as well.",
    ),
]


class HeartbeatIn(BaseModel):
    """A sign of life, with the progress so far if there is something to say of it."""

    model_config = ConfigDict(extra="forbid")

    progress: float | None = Field(
        None, ge=0, le=1, description="From 0 to 1.", examples=[0.4], allow_inf_nan=False
    )
    message: str | None = Field(None, description="What it is at.", examples=["parsed 400 of 1000"])


class HeartbeatOut(TypedDict):
    """Until when the attempt continues."""

    lease_expires_at: Annotated[
        InstantText,
        Field(description="When it times out without another heartbeat, never after its timeout."),
    ]
    cancel_requested: Annotated[
        bool,
        Field(description="Its end was requested: stop, and complete it or let it go."),
    ]


@routes.post(
    "/{id}/complete",
    response_model=RunOut,
    responses=describe("unauthorized", "not-found", "superseded", "too-large"),
)
async def complete(
    request: Request,
    services: Served,
    id: GivenId,  # noqa: ARG001  # the grant has it
    body: OutcomeIn,
    _token: Token = None,
) -> Response:
    """Complete an attempt that continues outside of Rota, by its token and no API key; returns the run.

    A `retry`, and a success that met a conflict, are followed by another attempt, as the task says. The first
    completion counts; each later one, and one of an attempt that has ended otherwise, is 409 with its outcome.
    The secrets that the target was sent, and the token, are replaced by `[redacted]` in it.
    """
    grant = grant_of(request)
    command = await run_in_threadpool(_completion, services, grant, body)
    if command is None:
        raise await run_in_threadpool(_superseded, services, grant)
    try:
        await services.writer.run(command)
    except LeaseLost:
        raise await run_in_threadpool(_superseded, services, grant) from None
    return send(await run_in_threadpool(_shown, services, grant))


@routes.post(
    "/{id}/heartbeat",
    response_model=HeartbeatOut,
    responses=describe("unauthorized", "not-found", "superseded", "too-large"),
)
async def heartbeat(
    request: Request,
    services: Served,
    id: GivenId,  # noqa: ARG001  # the grant has it
    body: HeartbeatIn | None = None,
    _token: Token = None,
) -> Response:
    """Report that an attempt continues, by its token and no API key: its `heartbeat_timeout` begins anew."""
    grant = grant_of(request)
    try:
        beat = await services.writer.run(Heartbeat(grant=grant, progress=_progress(body)))
    except LeaseLost:
        raise await run_in_threadpool(_superseded, services, grant) from None
    shown: HeartbeatOut = {
        "lease_expires_at": format_instant(beat.lease_expires_at),
        "cancel_requested": beat.cancel_requested,
    }
    return send(reply(200, shown))


def _completion(services: Services, grant: Grant, document: OutcomeIn) -> Complete | None:
    """Return the command that ends an attempt as a document says; None if it has ended."""
    limits = KvLimits.of(services.settings)
    with services.database.read() as connection:
        run = leased_run(connection, grant)
        if run is None:
            return None
        most = services.settings.max_result_bytes
        outcome = reported(connection, run, document, limits, most, services.clock.now())
    return Complete(run=run, holder=None, outcome=outcome, limits=limits)


def _progress(body: HeartbeatIn | None) -> Progress | None:
    if body is None or (body.progress is None and body.message is None):
        return None
    message = None if body.message is None else printable(body.message, _MOST_MESSAGE)
    return Progress(body.progress, message)


def _shown(services: Services, grant: Grant) -> Reply:
    with services.database.read() as connection:
        run = find_run(connection, grant.run_id)
        return reply(200, show_run_with_attempts(run, list_attempts(connection, run)))


def _superseded(services: Services, grant: Grant) -> Conflict | NotFound:
    """Return the error for an attempt that has ended, with its outcome and the status of its run."""
    with services.database.read() as connection:
        try:
            run = find_run(connection, grant.run_id)
        except NotFound:  # its task was deleted meanwhile
            return NotFound(UNKNOWN)
        attempts = list_attempts(connection, run)
    shown = {"id": run.id, "task": run.task, "status": run.status, "reason": run.reason}
    of_token = next((each for each in attempts if each.attempt == grant.attempt), None)
    ended = None if of_token is None else show_attempt(of_token)
    became = "has ended" if of_token is None else f"ended as {of_token.outcome or run.status}"
    return Conflict(
        f"Attempt {grant.attempt} {became}, and its run is {run.status}; nothing was stored.",
        slug="superseded",
        present={"run": {**shown, "attempt": run.attempt}, "attempt": ended},
    )
