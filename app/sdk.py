"""All that the author of a handler imports.

    from app.sdk import Context, handler

    @handler("watch-feed", timeout="30s")
    async def watch_feed(ctx: Context, input: Feed) -> dict:
        seen = await ctx.kv.get("last_id", 0)
        ...
        await ctx.kv.set("last_id", newest)  # commits with the run's success
        return {"new": count}  # any JSON

Return a value to succeed, raise `Retry` to be tried again, `Fail` to fail for good; any other exception is
retried while attempts are left. An `async def` runs on the handlers' event loop, a `def` in a thread (its
context is a `SyncContext`), and either in a process of its own with `isolation="process"`.
"""

import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Literal, Protocol, TypeVar, get_args
from uuid import UUID

from app.domain import values
from app.domain.durations import parse_duration
from app.domain.kv import KvDraft, KvSnapshot
from app.domain.targets import Target

__all__ = ["Context", "Fail", "Handler", "Retry", "SyncContext", "handler"]

Isolation = Literal["none", "process"]
F = TypeVar("F", bound=Callable[..., Any])

_MARK = "__rota_handler__"


class Retry(Exception):  # it reads as what it asks for
    """Raise to be tried again `after` a while (seconds, text such as "5m", or timedelta; None: as the policy says)."""

    def __init__(
        self,
        after: float | str | timedelta | None = None,
        reason: str = "asked for another attempt",
    ) -> None:
        super().__init__(reason)
        self.after = None if after is None else parse_duration(after)
        self.reason = reason


class Fail(Exception):  # it reads as what it asks for
    """Raise to fail for good: no attempt follows."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """A registered function and what was said of it."""

    name: str
    function: Callable[..., Any]
    timeout: timedelta | None = None
    isolation: Isolation = "none"
    description: str = ""


def handler(
    name: str, *, timeout: float | str | timedelta | None = None, isolation: Isolation = "none"
) -> Callable[[F], F]:
    """Make a function a handler that tasks can name.

    The function takes a context and, if it likes, the run's input: annotated with a pydantic model (or any type
    that pydantic knows), the input is checked when a task is registered, and arrives as that type. `timeout` is
    the default for tasks that give none. The function itself stays as it is.
    """
    if timeout is not None and not parse_duration(timeout):
        raise ValueError("a handler needs a timeout above 0")
    if isolation not in get_args(Isolation):
        raise ValueError(f"isolation is one of {get_args(Isolation)}, not {isolation!r}")

    def mark(function: F) -> F:
        spec = Handler(
            name=name,
            function=function,
            timeout=None if timeout is None else parse_duration(timeout),
            isolation=isolation,
            description=(function.__doc__ or "").strip(),
        )
        setattr(function, _MARK, spec)
        return function

    return mark


def handler_of(value: object) -> Handler | None:
    """Return what `@handler` said of a function, or None for anything else."""
    spec = getattr(value, _MARK, None)
    return spec if isinstance(spec, Handler) else None


class Journal(Protocol):
    """Where the lines and the progress of an attempt go; safe to call from any thread, never waits."""

    def line(self, level: str, message: str) -> None: ...

    def progress(self, fraction: float | None, message: str | None) -> None: ...


class Log:
    """What a handler says; kept with the run, as what it prints is."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def debug(self, message: str) -> None:
        self._journal.line("debug", str(message))

    def info(self, message: str) -> None:
        self._journal.line("info", str(message))

    def warning(self, message: str) -> None:
        self._journal.line("warning", str(message))

    def error(self, message: str) -> None:
        self._journal.line("error", str(message))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """What a handler can know of its run."""

    run_id: UUID
    task: str
    attempt: int
    failures: int
    trigger: str
    scheduled_for: datetime
    #: JSON text; parsed only for the handlers that look at it.
    input_json: str
    target: Target | None = None


class _Base:
    """What both kinds of context have."""

    def __init__(self, info: RunInfo, journal: Journal, cancelled: threading.Event) -> None:
        self.run_id = info.run_id
        self.task = info.task
        #: Rises at every start of this run.
        self.attempt = info.attempt
        #: How many attempts have counted as failures so far.
        self.failures = info.failures
        self.trigger = info.trigger
        self.scheduled_for = info.scheduled_for
        self.target = info.target
        self.log = Log(journal)
        self._input_json = info.input_json
        self._journal = journal
        self._cancelled = cancelled

    @cached_property
    def input(self) -> Any:
        """The run's input as plain JSON values, also for handlers that take it as a model."""
        return values.loads(self._input_json)

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of this run: give it to services that should act once."""
        return str(self.run_id)

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked for the end of this run (a cancel, a time-out, a shutdown)."""
        return self._cancelled.is_set()


class Kv:
    """The task's key-value table, for `async` handlers. Reads see one snapshot and this run's own writes."""

    def __init__(self, draft: KvDraft, load: Callable[[], Awaitable[KvSnapshot]]) -> None:
        self._draft = draft
        self._load = load

    async def get(self, key: str, default: Any = None) -> Any:
        """Return the value of `key`, or `default`."""
        return (await self._loaded()).get(key, default)

    async def items(self, prefix: str = "") -> list[tuple[str, Any]]:
        """Return (key, value) of every entry whose key starts with `prefix`, in the order of the keys."""
        return list((await self._loaded()).items(prefix))

    async def set(
        self, key: str, value: Any, *, ttl: float | str | timedelta | None = None
    ) -> None:
        """Write any JSON value, for `ttl` or for good; commits with the run's success or not at all."""
        self._draft.set(key, value, None if ttl is None else parse_duration(ttl))

    async def delete(self, key: str) -> None:
        """Remove `key`; commits with the run's success or not at all."""
        self._draft.delete(key)

    async def _loaded(self) -> KvDraft:
        if not self._draft.loaded:
            self._draft.load(await self._load())
        return self._draft


class SyncKv:
    """The same for `def` handlers."""

    def __init__(self, draft: KvDraft, load: Callable[[], KvSnapshot]) -> None:
        self._draft = draft
        self._load = load

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of `key`, or `default`."""
        return self._loaded().get(key, default)

    def items(self, prefix: str = "") -> list[tuple[str, Any]]:
        """Return (key, value) of every entry whose key starts with `prefix`, in the order of the keys."""
        return list(self._loaded().items(prefix))

    def set(self, key: str, value: Any, *, ttl: float | str | timedelta | None = None) -> None:
        """Write any JSON value, for `ttl` or for good; commits with the run's success or not at all."""
        self._draft.set(key, value, None if ttl is None else parse_duration(ttl))

    def delete(self, key: str) -> None:
        """Remove `key`; commits with the run's success or not at all."""
        self._draft.delete(key)

    def _loaded(self) -> KvDraft:
        if not self._draft.loaded:
            self._draft.load(self._load())
        return self._draft


class Context(_Base):
    """The run that an `async` handler is carrying out."""

    def __init__(self, info: RunInfo, journal: Journal, cancelled: threading.Event, kv: Kv) -> None:
        super().__init__(info, journal, cancelled)
        self.kv = kv

    async def progress(self, fraction: float | None = None, message: str | None = None) -> None:
        """Say how far the run is: `fraction` from 0 to 1, and a word on it."""
        self._journal.progress(fraction, message)


class SyncContext(_Base):
    """The run that a `def` handler is carrying out."""

    def __init__(
        self, info: RunInfo, journal: Journal, cancelled: threading.Event, kv: SyncKv
    ) -> None:
        super().__init__(info, journal, cancelled)
        self.kv = kv

    def progress(self, fraction: float | None = None, message: str | None = None) -> None:
        """Say how far the run is: `fraction` from 0 to 1, and a word on it."""
        self._journal.progress(fraction, message)
