"""The composition root: the objects of a process are created here, and nowhere else."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from platform import python_version

import structlog
from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from rota.api.http.clients.calls import turn_to_read
from rota.api.http.clients.stored_keys import StoredKeys
from rota.api.http.computing import Computing
from rota.api.http.handler_directory import HandlerDirectory
from rota.api.http.services import Services
from rota.api.http.streaming.run_waiters import Waiters
from rota.api.http.streaming.streams import Streams
from rota.api.middleware import auth, cors, head, limits, origins, refusals, shutdown
from rota.api.openapi import pages as docs
from rota.api.problems import pages as problem_pages
from rota.api.problems import problem
from rota.api.routers import ROUTERS
from rota.clock import Clock, SystemClock
from rota.configuration import (
    alerting,
    environment_secrets,
    guard_of,
    is_local,
    keyring,
    mail_client,
    targets_of,
)
from rota.db import migrations
from rota.db.client_reads import ClientReads
from rota.db.engine import Database
from rota.db.reader import Reader
from rota.db.writer import Writer
from rota.domain.effects import Effect
from rota.domain.time_zones.zone import database as zone_database
from rota.egress.guard import Guard
from rota.egress.origins.gate import GateRules, OriginGate
from rota.egress.proxy import HttpProxy
from rota.egress.smtp.relay import SmtpRelay
from rota.engine.end_counts import EndCounts
from rota.engine.resources import Resources
from rota.engine.supervisor import Engine
from rota.engine.waking import HostWaker
from rota.handlers.calls import capture
from rota.handlers.discovery import discover
from rota.handlers.executor import Executor
from rota.handlers.registry import Registry
from rota.metrics import Metrics
from rota.settings import Settings
from rota.store.access.reading import has_kept_keys
from rota.store.events.log import EventLog
from rota.store.follow_ups import follow_up
from rota.store.holds.reading import holds_that_matter
from rota.store.measures import Measuring, server_of
from rota.store.sealing import sealed_values
from rota.web.dashboard import Dashboard
from rota.web.guide import routes as guide

log = structlog.get_logger(__name__)

VERSION = version("rota")
# Threads for small reads where the database is behind a network.
_NETWORK_READERS = 4


def create_app(settings: Settings | None = None, clock: Clock | None = None) -> FastAPI:
    """Return the application; its lifespan opens the database and starts the engine."""
    settings = settings or Settings()
    targets_of(settings)  # so that a mistake in it is found at once
    alerting(settings)
    SmtpRelay.of(settings)
    HttpProxy.of(settings)
    service = _Service(settings, clock or SystemClock())
    app = FastAPI(
        title="Rota",
        version=VERSION,
        docs_url=None,
        redoc_url=None,
        lifespan=service.lifespan,
        redirect_slashes=False,
    )
    # The last one that is added sees a request first.
    app.add_middleware(limits.Limits, clock=service.clock)
    app.add_middleware(
        auth.Gate,
        keys=[key.get_secret_value() for key in settings.api_key],
        stored=service.keys,
        is_local=is_local(settings),
    )
    app.add_middleware(
        refusals.Refusals,
        clock=service.clock,
        metrics=service.metrics,
        stored=service.keys,
        most_failures=settings.failed_logins,
    )
    app.add_middleware(Dashboard)
    app.add_middleware(origins.Origins, trusted=settings.trusted_proxies)
    app.add_middleware(shutdown.CutOff)
    app.add_middleware(head.Head)
    if settings.cors_origins:
        app.add_middleware(cors.Cors, origins=settings.cors_origins)
    problem.install(app)
    for router in ROUTERS:
        app.include_router(router)
    app.include_router(problem_pages.routes)
    app.include_router(guide.routes)
    app.state.routes = [route for router in ROUTERS for route in router.routes]
    docs.install(app, VERSION)
    return app


class _Service:
    """The objects of one process, created in the order of their dependencies."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self.clock = clock
        self.metrics = Metrics(settings.metrics_tasks)
        self.metrics.tzdata.labels(zone_database().version).set(1)
        self._listeners: list[Callable[[Sequence[Effect]], None]] = []
        self.keys = StoredKeys(clock)

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        settings = self._settings
        registry = discover(settings.handlers)
        # Within the part of the lease that is not relied on.
        silence = settings.lease_ttl / 5
        database = Database(
            settings.database_url,
            keyring(settings),
            silence,
            environment_secrets(settings),
            alerting(settings),
        )
        try:
            with database.read() as connection:
                migrations.check(connection)
                sealed_values.check_keys(connection)
                has_keys = has_kept_keys(connection)
                kind = server_of(connection)
                holds_that_matter(connection)  # tasks are shown as held from the first reply on
            self.metrics.build.labels(VERSION, python_version(), kind).set(1)
            self.metrics.stored.set_function(
                Measuring(database, self.clock, settings.metrics_tasks)
            )
            computing = Computing()
            writer = Writer(
                database.writing,
                self.clock,
                self._committed,
                self.metrics,
                follow_up=follow_up,
                before_commit=EventLog().record,
                on_error=database.record_damage,
                aside=computing.for_requests(),
            )
            reader = Reader(database, 1 if database.is_sqlite else _NETWORK_READERS)
            guard = guard_of(settings, has_keys=has_keys)
            engine = Engine(
                Resources(
                    settings=settings,
                    database=database,
                    writer=writer,
                    clock=self.clock,
                    metrics=self.metrics,
                    registry=registry,
                    executor=self._executor(registry, guard, writer),
                    guard=guard,
                )
            )
            waiters = Waiters()
            waiters.attach(asyncio.get_running_loop())
            streams = Streams(database, settings.max_streams)
            streams.attach(asyncio.get_running_loop())
            self._listeners = [
                *(engine.committed, waiters.committed, streams.committed),
                EndCounts(self.metrics).committed,
            ]
            app.state.services = Services(
                settings=settings,
                database=ClientReads(database, turn_to_read),
                writer=writer,
                reader=reader,
                clock=self.clock,
                metrics=self.metrics,
                handlers=HandlerDirectory(database, self.clock),
                keys=self.keys,
                waiters=waiters,
                streams=streams,
                computing=computing,
                targets=targets_of(settings, has_keys=has_keys),
                known_holds=database.known_holds,
                firing_age=engine.firing_age,
                troubles=engine.troubles,
                warnings=engine.warnings,
            )
            capture.install()
            writer.start()
            reader.start()
            try:
                await self.keys.start(database, reader, writer)
                await run_in_threadpool(engine.start)
                log.info(
                    "started",
                    version=VERSION,
                    tzdata=zone_database().version,
                    handlers=sorted(registry),
                )
                yield
            finally:
                log.info("stopping", grace=settings.drain_grace)
                streams.close()
                self.keys.close()
                await run_in_threadpool(engine.stop)
                reader.stop()
                writer.stop()
                capture.uninstall()
        finally:
            database.close()
            log.info("stopped")

    def _executor(self, registry: Registry, guard: Guard, writer: Writer) -> Executor:
        settings = self._settings
        waker = HostWaker(writer, settings.http_circuit_longest)
        return Executor(
            max_result_bytes=settings.max_result_bytes,
            max_value_bytes=settings.max_value_bytes,
            max_kv_bytes=settings.max_kv_bytes,
            http_max_body_bytes=settings.http_max_body_bytes,
            origin_gate=OriginGate(GateRules.of(settings), self.metrics, waker),
            clock=self.clock,
            handler_entries=settings.handlers,
            process_concurrency=settings.process_concurrency,
            guard=guard,
            public_url=settings.public_url,
            mail=mail_client(settings),
            preload=any(known.kind == "process" for known in registry.values()),
        )

    def _committed(self, effects: Sequence[Effect]) -> None:
        for listener in self._listeners:
            listener(effects)
