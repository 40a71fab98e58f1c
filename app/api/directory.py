"""The handlers that tasks can be registered for, read from their rows, with compiled schemas."""

import threading
from dataclasses import dataclass
from typing import Any

import jsonschema_rs
from starlette.concurrency import run_in_threadpool

from app.clock import Clock
from app.db.engine import Database
from app.domain.values import escape
from app.errors import Fault, Invalid
from app.store.handlers import HandlerInfo, list_handlers

_FRESH_FOR = 1.0
_MOST_FAULTS = 20


@dataclass(frozen=True, slots=True)
class _Known:
    info: HandlerInfo
    validator: Any


class HandlerDirectory:
    """Rows change rarely and are asked for at every registration, so they are kept for a second."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}
        self._read_at = -_FRESH_FOR

    async def check(self, name: str, value: Any) -> HandlerInfo:
        """Return the handler if there is one that takes this input; raises Invalid, pointing at the fault."""
        if self._clock.monotonic() - self._read_at > _FRESH_FOR or name not in self._known:
            await run_in_threadpool(self._read)
        known = self._known.get(name)
        if known is None:
            raise self._unknown(name)
        if known.validator is not None:
            _validate(known.validator, value)
        return known.info

    def _read(self) -> None:
        with self._lock, self._database.read() as connection:
            self._known = {info.name: self._keep(info) for info in list_handlers(connection)}
            self._read_at = self._clock.monotonic()

    def _keep(self, info: HandlerInfo) -> _Known:
        old = self._known.get(info.name)
        if old is not None and old.info.input_schema == info.input_schema:
            return _Known(info, old.validator)
        return _Known(info, None if info.input_schema is None else _compile(info.input_schema))

    def _unknown(self, name: str) -> Invalid:
        there = ", ".join(sorted(self._known)) or "none yet"
        detail = f"no handler is called {name[:128]!r}; there are: {there}"
        return Invalid(f"/handler: {detail}.", Fault("/handler", detail), slug="unknown-handler")


def _compile(schema: dict[str, Any]) -> Any:
    return jsonschema_rs.validator_for(schema, validate_formats=True)


def _validate(validator: Any, value: Any) -> None:
    faults = []
    for error in validator.iter_errors(value):
        pointer = "".join(f"/{escape(step)}" for step in error.instance_path)
        faults.append(Fault(f"/input{pointer}", error.message[:500]))
        if len(faults) == _MOST_FAULTS:
            break
    if faults:
        first = faults[0]
        raise Invalid(f"{first.pointer}: {first.detail}.", *faults, slug="invalid-input")
