"""A process of the service without its HTTP: database, writer and engine, with handlers that a test defines."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from rota import handler_of
from rota.clock import Clock, SystemClock
from rota.db.engine import Database
from rota.db.writer import Writer
from rota.domain.effects import Effect
from rota.domain.primitives.ids import Id
from rota.domain.runs.model import Run
from rota.domain.runs.status import RunStatus
from rota.egress.origins.gate import GateRules, OriginGate
from rota.engine.resources import Resources
from rota.engine.supervisor import Engine
from rota.engine.waking import HostWaker
from rota.handlers.executor import Executor
from rota.handlers.registry import RegisteredHandler, Registry, register
from rota.metrics import Metrics
from rota.settings import Settings
from rota.store.events.log import EventLog
from rota.store.follow_ups import follow_up
from tests.egress.guards import loopback_guard
from tests.support.factories import Client, eventually

QUICK = {"watchdog_interval": 0.1, "drain_grace": 0.2}


def registered(
    function: Callable[..., Any] | RegisteredHandler, source: str = "tests"
) -> RegisteredHandler:
    """Return what the registry knows of a function with `@handler`, or of a built-in one."""
    if isinstance(function, RegisteredHandler):
        return function
    spec = handler_of(function)
    assert spec is not None
    return register(spec, source)


class Service(Client):
    """Starts and stops as `rota.main` does."""

    def __init__(
        self,
        url: str,
        *handlers: Callable[..., Any] | RegisteredHandler,
        clock: Clock | None = None,
        **settings: Any,
    ) -> None:
        self.settings = Settings(database_url=url, **QUICK | settings)
        self.clock = clock or SystemClock()
        self.metrics = Metrics()
        self.registry = Registry(tuple(registered(function) for function in handlers))
        self.database = Database(url)
        self.writer = Writer(
            self.database.writing,
            self.clock,
            self._committed,
            self.metrics,
            follow_up=follow_up,
            before_commit=EventLog().record,
        )
        self.guard = loopback_guard()
        self.engine = Engine(
            Resources(
                settings=self.settings,
                database=self.database,
                writer=self.writer,
                clock=self.clock,
                metrics=self.metrics,
                registry=self.registry,
                executor=self._executor(),
                guard=self.guard,
            )
        )
        self._stopped = False

    @property
    def now(self) -> datetime:
        return self.clock.now()

    @property
    def holder(self) -> Id:
        return self.engine._execution.lease.holder

    def start(self) -> None:
        self.writer.start()
        self.engine.start()

    def stop(self) -> None:
        if self._stopped:
            return
        self._stopped = True
        self.engine.stop()
        self.writer.stop()
        self.database.close()

    def running(self, id: Id) -> Run:
        """Wait until a run is running, and return it."""
        return self._with_status(id, RunStatus.RUNNING)

    def ended(self, id: Id) -> Run:
        """Wait until a run is final, and return it."""
        return self._with_status(id, *(status for status in RunStatus if status.final))

    def _with_status(self, id: Id, *wanted: RunStatus) -> Run:
        def found() -> Run | None:
            run = self.run(id)
            return run if run.status in wanted else None

        run: Run = eventually(found, f"the run is not {wanted}")
        return run

    def _committed(self, effects: Sequence[Effect]) -> None:
        self.engine.committed(effects)

    def _executor(self) -> Executor:
        return Executor(
            max_result_bytes=self.settings.max_result_bytes,
            max_value_bytes=self.settings.max_value_bytes,
            max_kv_bytes=self.settings.max_kv_bytes,
            http_max_body_bytes=self.settings.http_max_body_bytes,
            origin_gate=OriginGate(
                GateRules.of(self.settings),
                self.metrics,
                HostWaker(self.writer, self.settings.http_circuit_longest),
            ),
            clock=self.clock,
            handler_entries=self.settings.handlers,
            process_concurrency=self.settings.process_concurrency,
            guard=self.guard,
        )
