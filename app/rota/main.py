"""The composition root: the objects of a process are created here, and nowhere else."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from platform import python_version

import structlog
from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from rota.api import events, handlers, leases, queues, system
from rota.api.http.computing import Computing
from rota.api.http.handler_directory import HandlerDirectory
from rota.api.http.run_waiters import Waiters
from rota.api.http.services import Services
from rota.api.http.streams import Streams
from rota.api.kv import history as kv_history
from rota.api.kv import routes as kv_routes
from rota.api.kv import transfer as kv_transfer
from rota.api.middleware import auth, cors, head, shutdown
from rota.api.openapi import pages as docs
from rota.api.problems import problem
from rota.api.problems import types as problem_types
from rota.api.runs import completions
from rota.api.runs import logs as run_logs
from rota.api.runs import routes as run_routes
from rota.api.secrets import routes as secret_routes
from rota.api.tasks import actions as task_actions
from rota.api.tasks import backfills, batch, explain, preview
from rota.api.tasks import bulk as bulk_routes
from rota.api.tasks import routes as task_routes
from rota.clock import Clock, SystemClock
from rota.db import migrations
from rota.db.encryption import Keyring
from rota.db.engine import Database, servers_of
from rota.db.reader import Reader
from rota.db.writer import Writer
from rota.domain.effects import Effect
from rota.domain.hosts.policy import TargetPolicy
from rota.domain.secrets.environment import Given, from_environment
from rota.domain.secrets.opened import OpenedSecret
from rota.domain.time_zones.zone import database as zone_database
from rota.egress.guard import Guard, OwnEndpoint
from rota.egress.origin_gate import GateRules, OriginGate
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
from rota.store.events import EventLog
from rota.store.follow_ups import follow_up
from rota.store.measures import Measuring, server_of
from rota.store.sealing import sealed_values

log = structlog.get_logger(__name__)

VERSION = version("rota")
# They are searched in this order at every request: the most frequent routes come first.
_ROUTERS = (
    task_routes.routes,
    batch.routes,
    kv_transfer.routes,
    kv_history.routes,
    kv_routes.routes,
    task_actions.routes,
    bulk_routes.routes,
    preview.routes,
    explain.routes,
    backfills.routes,
    run_routes.of_task,
    run_routes.routes,
    completions.routes,
    run_logs.routes,
    events.routes,
    queues.routes,
    secret_routes.routes,
    leases.routes,
    handlers.routes,
    system.routes,
)


# Threads for small reads where the database is behind a network.
_NETWORK_READERS = 4


def create_app(settings: Settings | None = None, clock: Clock | None = None) -> FastAPI:
    """Return the application; its lifespan opens the database and starts the engine."""
    settings = settings or Settings()
    targets_of(settings)  # so that a mistake in it is found at once
    service = _Service(settings, clock or SystemClock())
    app = FastAPI(
        title="Rota",
        version=VERSION,
        docs_url=None,
        redoc_url=None,
        lifespan=service.lifespan,
        redirect_slashes=False,
    )
    app.add_middleware(auth.Gate, keys=[key.get_secret_value() for key in settings.api_key])
    app.add_middleware(shutdown.CutOff)
    app.add_middleware(head.Head)
    if settings.cors_origins:
        app.add_middleware(cors.Cors, origins=settings.cors_origins)
    problem.install(app)
    for router in _ROUTERS:
        app.include_router(router)
    app.include_router(problem_types.routes)
    app.state.routes = [route for router in _ROUTERS for route in router.routes]
    docs.install(app, VERSION)
    return app


def keyring(settings: Settings) -> Keyring | None:
    """Return the encryption keys, None if none are set."""
    return Keyring(settings.keys_by_id) if settings.encryption_keys else None


def environment_secrets(settings: Settings) -> dict[str, OpenedSecret]:
    """Return the named secrets of the environment; raises Invalid."""
    return from_environment(
        Given(each.variable, each.name, each.value, each.origins, each.tasks)
        for each in settings.secrets
    )


def targets_of(settings: Settings) -> TargetPolicy:
    """Return what may be connected to; raises Invalid.

    A service without a key is there for this machine only, and so are its targets on the loopback.
    """
    if settings.http_targets:
        return TargetPolicy.of(settings.http_targets)
    return TargetPolicy.by_default(on_loopback=not settings.api_key)


def guard_of(settings: Settings) -> Guard:
    """Return the guard of all connections; raises Invalid.

    It refuses the database, and the service itself where that requires a key, which a target might not have; without
    one, redirects to it.
    """
    own = [OwnEndpoint(host, port) for host, port in servers_of(settings.database_url)]
    host = settings.host.strip("[]")
    own.append(OwnEndpoint(host, settings.port, is_for_targets=not settings.api_key))
    return Guard(targets_of(settings), own)


class _Service:
    """The objects of one process, created in the order of their dependencies."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._metrics = Metrics(settings.metrics_tasks)
        self._metrics.tzdata.labels(zone_database().version).set(1)
        self._listeners: list[Callable[[Sequence[Effect]], None]] = []

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        settings = self._settings
        registry = discover(settings.handlers)
        # Within the part of the lease that is not relied on.
        silence = settings.lease_ttl / 5
        database = Database(
            settings.database_url, keyring(settings), silence, environment_secrets(settings)
        )
        try:
            with database.read() as connection:
                migrations.check(connection)
                sealed_values.check_keys(connection)
                kind = server_of(connection)
            self._metrics.build.labels(VERSION, python_version(), kind).set(1)
            self._metrics.stored.set_function(
                Measuring(database, self._clock, settings.metrics_tasks)
            )
            computing = Computing()
            writer = Writer(
                database.writing,
                self._clock,
                self._committed,
                self._metrics,
                follow_up=follow_up,
                before_commit=EventLog().record,
                on_error=database.record_damage,
                aside=computing.for_requests(),
            )
            reader = Reader(database, 1 if database.is_sqlite else _NETWORK_READERS)
            guard = guard_of(settings)
            engine = Engine(
                Resources(
                    settings=settings,
                    database=database,
                    writer=writer,
                    clock=self._clock,
                    metrics=self._metrics,
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
                EndCounts(self._metrics).committed,
            ]
            app.state.services = Services(
                settings=settings,
                database=database,
                writer=writer,
                reader=reader,
                clock=self._clock,
                metrics=self._metrics,
                handlers=HandlerDirectory(database, self._clock),
                waiters=waiters,
                streams=streams,
                computing=computing,
                targets=targets_of(settings),
                firing_age=engine.firing_age,
                troubles=engine.troubles,
                warnings=engine.warnings,
            )
            capture.install()
            writer.start()
            reader.start()
            try:
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
            origin_gate=OriginGate(GateRules.of(settings), self._metrics, waker),
            clock=self._clock,
            handler_entries=settings.handlers,
            process_concurrency=settings.process_concurrency,
            guard=guard,
            public_url=settings.public_url,
            preload=any(known.kind == "process" for known in registry.values()),
        )

    def _committed(self, effects: Sequence[Effect]) -> None:
        for listener in self._listeners:
            listener(effects)
