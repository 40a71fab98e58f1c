"""Carrying out attempts: on the handlers' loop, in threads, in processes of their own."""

import contextvars
from collections.abc import Callable, Sequence

from rota.clock import Clock
from rota.domain.primitives.ids import Id
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Failed, Outcome, Released
from rota.handlers.calls.async_calls import Coroutines
from rota.handlers.calls.call import Call, CallBook, OpenCall
from rota.handlers.calls.thread_calls import BlockingCalls
from rota.handlers.daemon_threads import DaemonThreads
from rota.handlers.http.client import EGRESS, Egress
from rota.handlers.processes.process_calls import Children
from rota.sdk.stop import HOOK_SECONDS, StopReason

__all__ = ["Call", "Executor"]

# How many attempts run at a time is the engine's to say; this only bounds a mistake.
_MOST_THREADS = 10_000
# For what handlers on a loop, and in processes, ask of their tables: short work, of which more at a time is not faster.
_MOST_KV_THREADS = 16


class Executor:
    """Carries out calls and reports each outcome exactly once.

    `cancel` only asks, and nothing here watches the time: the engine gives up on an attempt that
    does not end, and what it reports later goes nowhere.
    """

    def __init__(
        self,
        *,
        max_result_bytes: int,
        max_value_bytes: int,
        max_kv_bytes: int,
        http_max_body_bytes: int,
        clock: Clock,
        handler_entries: Sequence[str],
        process_concurrency: int,
        preload: bool = False,
    ) -> None:
        """Nothing starts yet. `preload`: start the process server with the executor."""
        variables = contextvars.Context()
        variables.run(EGRESS.set, Egress(http_max_body_bytes, clock))
        self._clock = clock
        self._book = CallBook()
        self._threads = DaemonThreads("rota-handler", _MOST_THREADS)
        self._kv_threads = DaemonThreads("rota-kv", _MOST_KV_THREADS)
        self._coroutines = Coroutines(
            self._book,
            self._kv_threads,
            clock,
            max_result_bytes=max_result_bytes,
            max_value_bytes=max_value_bytes,
            context=variables,
        )
        self._blocking = BlockingCalls(
            self._book,
            self._threads,
            max_result_bytes=max_result_bytes,
            max_value_bytes=max_value_bytes,
        )
        self._children = Children(
            self._book,
            self._kv_threads,
            handler_entries,
            concurrency=process_concurrency,
            max_result_bytes=max_result_bytes,
            max_value_bytes=max_value_bytes,
            max_kv_bytes=max_kv_bytes,
            preload=preload,
        )
        self._starters = (
            ("async", self._coroutines.begin),
            ("thread", self._blocking.begin),
            ("process", self._children.begin),
        )
        self._stopped = False

    def start(self) -> None:
        self._threads.start()
        self._kv_threads.start()
        self._coroutines.start()
        self._children.start()

    def begin(self, calls: Sequence[Call], done: Callable[[Call, Outcome], None]) -> None:
        """Carry out the calls; `done` gets each one's outcome once, from any thread."""
        opened = [self._book.open(call, done) for call in calls]
        for kind, start in self._starters:
            batch = [one for one in opened if one.call.kind == kind]
            if batch:
                self._start(batch, start)
        if self._stopped:
            self._give_back(opened)

    def _start(
        self, batch: Sequence[OpenCall], start: Callable[[Sequence[OpenCall]], None]
    ) -> None:
        try:
            start(batch)
        except (OSError, RuntimeError) as error:
            if self._stopped:
                return  # `begin` gives them back
            failed = Failed(RunError("start", f"the attempt could not be started: {error}"))
            for opened in batch:
                self._book.close(opened, failed)

    def cancel(self, run_id: Id, attempt: int, *, force: bool, reason: StopReason) -> None:
        """Ask the attempt to end, telling it why; with `force`, kill it if it has a process of its own."""
        opened = self._book.find(run_id, attempt)
        if opened is not None:
            self._cancel(opened, reason, force=force)

    def _cancel(self, opened: OpenCall, reason: StopReason, *, force: bool) -> None:
        opened.stop.ask(reason)
        match opened.call.kind:
            case "async":
                self._coroutines.cancel(opened)
            case "thread":
                self._blocking.cancel(opened)
            case "process":
                self._children.cancel(opened, force=force)

    def stop(self) -> None:
        """Give back what still runs and end it as far as it can be; takes a few seconds at most."""
        self._stopped = True
        self._let_hooks_run(self._give_back(self._book.all()))
        self._coroutines.stop()
        self._children.stop()
        self._threads.shutdown()
        self._kv_threads.shutdown()

    def _give_back(self, calls: Sequence[OpenCall]) -> Sequence[OpenCall]:
        for opened in calls:
            self._book.close(opened, Released())
            self._cancel(opened, StopReason.SHUTDOWN, force=True)
        return calls

    def _let_hooks_run(self, calls: Sequence[OpenCall]) -> None:
        until = self._clock.monotonic() + HOOK_SECONDS
        for opened in calls:
            opened.stop.wait(max(until - self._clock.monotonic(), 0))

    def lag(self) -> float:
        """Return for how many seconds the handlers' loop has been stuck."""
        return self._coroutines.lag()

    def process_server_is_silent(self) -> bool:
        """Return whether the process server does not answer."""
        return self._children.is_silent

    def excuse(self) -> None:
        """Forget how far the handlers' loop is behind: it was not its own doing."""
        self._coroutines.excuse()

    def relieve(self) -> bool:
        """Go on with another loop if the handlers' is stuck; return whether it was."""
        return self._coroutines.relieve()

    def blocking(self) -> Id | None:
        """Return the run that the handlers' loop is stuck in, if it can be told."""
        return self._coroutines.blocking()
