"""The services that routes use, and the dependencies that provide them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Header, Request

from rota.api.http.clients.stored_keys import StoredKeys
from rota.api.http.computing import Computing
from rota.api.http.handler_directory import HandlerDirectory
from rota.api.http.recent import Recent
from rota.api.http.streaming.run_waiters import Waiters
from rota.api.http.streaming.streams import Streams
from rota.clock import Clock
from rota.db.client_reads import ClientReads
from rota.db.connection_state.known_holds import KnownHolds
from rota.db.reader import Reader
from rota.db.writer import Writer
from rota.domain.hosts.policy import TargetPolicy
from rota.domain.trace_context import HEADER, read_traceparent
from rota.metrics import Metrics
from rota.settings import Settings
from rota.store.idempotency import Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The services of one process; `main` creates them."""

    settings: Settings
    database: ClientReads
    writer: Writer
    reader: Reader
    clock: Clock
    metrics: Metrics
    handlers: HandlerDirectory
    #: The API keys that are stored, for their authentication.
    keys: StoredKeys
    waiters: Waiters
    streams: Streams
    computing: Computing
    #: What tasks may have the service connect to.
    targets: TargetPolicy
    #: The holds, as the last firing pass or request has read them.
    known_holds: KnownHolds
    #: Seconds since the last firing pass.
    firing_age: Callable[[], float]
    #: Why the service cannot do its work now; empty if it can.
    troubles: Callable[[], list[str]]
    #: Problems that do not keep the service from its work.
    warnings: Callable[[], list[str]]
    #: Badges, by the task and what they show.
    badges: Recent[str] = field(default_factory=lambda: Recent(most=1_000))
    #: Statistics of many tasks that took long, by what was asked for.
    statistics: Recent[Reply] = field(default_factory=lambda: Recent(most=100))


# Dependencies are coroutines: FastAPI calls a plain function in a thread, for every request.
async def services_of(request: Request) -> Services:
    """Return the services of the application that serves this request."""
    services: Services = request.app.state.services
    return services


Served = Annotated[Services, Depends(services_of)]


async def traceparent_of(
    request: Request,
    _given: Annotated[
        str | None,
        Header(
            alias=HEADER,
            description="A W3C trace context: kept with what the request triggers, and passed on by its runs. An "
            "invalid one is ignored.",
            examples=["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
        ),
    ] = None,
) -> str | None:
    """Return the trace context of a request; None if it has none, several, or an invalid one."""
    given = request.headers.getlist(HEADER)
    return read_traceparent(given[0]) if len(given) == 1 else None


Traceparent = Annotated[str | None, Depends(traceparent_of)]
