"""The handlers that tasks can use, read from the database, with compiled input schemas."""

import threading
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool

from rota.api.http.validation import refusal
from rota.clock import Clock
from rota.db.engine import Database
from rota.domain.alerts.notifier_inputs import notifier_faults
from rota.domain.alerts.notifiers import NOTIFIERS
from rota.domain.chains.result_merge import foreseen_faults
from rota.domain.json_schema.compiled import JsonSchema
from rota.domain.schedules.definitions import Planned
from rota.domain.tasks.input_schema import input_faults, takes_long, usable_schema
from rota.domain.validation.messages import nearest
from rota.errors import Fault, Invalid
from rota.store.handlers import HandlerInfo, list_handlers
from rota.store.replicas import known_handlers

_FRESH_FOR = 1.0


@dataclass(frozen=True, slots=True)
class _Known:
    """A handler and its input schema: compiled, or why it cannot be, or None if there is none."""

    info: HandlerInfo
    validator: JsonSchema | Fault | None


class HandlerDirectory:
    """Caches the handlers for a second: every registration needs them, and they change rarely."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}
        self._live: frozenset[str] = frozenset()
        self._read_at = -_FRESH_FOR

    async def check(self, name: str, value: Any, schedule: Planned | None = None) -> HandlerInfo:
        """Return the handler with this name; raises Invalid if there is none, or it does not accept the input.

        `schedule`: that of the task whose input it is; an `after` schedule may add the results of predecessors.
        """
        await self._refresh(name)
        known = self._known.get(name)
        if known is None:
            raise refusal([self._unknown(name)], "unknown-handler")
        if isinstance(known.validator, Fault):
            raise refusal([known.validator])
        faults = (
            notifier_faults(name, value, schedule)
            if name in NOTIFIERS
            else await _faults(known.validator, value, schedule)
        )
        if faults:
            raise Invalid(faults[0].sentence, *faults, slug="invalid-input")
        return known.info

    async def fault(self, name: str) -> Fault | None:
        """Return a fault with pointer `/handler` if no handler has this name."""
        await self._refresh(name)
        return None if name in self._known else self._unknown(name)

    async def _refresh(self, name: str) -> None:
        if self._clock.monotonic() - self._read_at > _FRESH_FOR or name not in self._known:
            await run_in_threadpool(self._read)

    def forget(self) -> None:
        """Read the handlers anew before the next check: one was declared or removed here."""
        self._read_at = -_FRESH_FOR

    def is_live(self, name: str) -> bool:
        """Return whether a replica with a lease knew the handler at the last read, or it was declared for workers."""
        return name in self._live

    def _read(self) -> None:
        with self._lock, self._database.read() as connection:
            self._known = {info.name: self._keep(info) for info in list_handlers(connection)}
            self._live = known_handlers(connection)
            self._read_at = self._clock.monotonic()

    def _keep(self, info: HandlerInfo) -> _Known:
        old = self._known.get(info.name)
        if old is not None and old.info.input_schema == info.input_schema:
            return _Known(info, old.validator)
        return _Known(info, None if info.input_schema is None else usable_schema(info.input_schema))

    def _unknown(self, name: str) -> Fault:
        there = ", ".join(sorted(self._known)) or "none yet"
        near = nearest(name, list(self._known))
        return Fault("/handler", f"no handler is called {name[:128]!r}; there are: {there}{near}")


async def _faults(
    validator: JsonSchema | None, value: Any, schedule: Planned | None
) -> list[Fault]:
    if validator is None:
        return []
    if takes_long(validator, value):
        return await run_in_threadpool(_found, validator, value, schedule)
    return _found(validator, value, schedule)


def _found(validator: JsonSchema, value: Any, schedule: Planned | None) -> list[Fault]:
    if schedule is None:
        return input_faults(validator, value)
    return foreseen_faults(validator, schedule, value)
