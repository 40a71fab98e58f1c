"""The executor of attempts: on the handlers' loop, in threads, in child processes."""

import contextvars
from collections.abc import Callable, Sequence
from typing import assert_never

from rota.clock import Clock
from rota.daemon_threads import DaemonThreads
from rota.domain.primitives.ids import Id
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import CallEnd, Failed, Released
from rota.egress.client import HTTP_CLIENT, HttpClient
from rota.egress.guard import Guard
from rota.egress.origins.gate import OriginGate
from rota.egress.smtp.client import MAIL_CLIENT, MailClient
from rota.handlers.calls.async_calls import AsyncCalls
from rota.handlers.calls.call import Call, Limits, OpenCall, OpenCalls
from rota.handlers.calls.thread_calls import ThreadCalls
from rota.handlers.http.access_tokens import ACCESS_TOKENS, AccessTokens
from rota.handlers.http.admission import ORIGIN_GATE
from rota.handlers.http.callback import PUBLIC_URL
from rota.handlers.processes.process_calls import ProcessCalls
from rota.sdk.stop import HOOK_SECONDS, StopReason

__all__ = ["Call", "Executor"]

# The engine limits how many attempts run at a time; this only bounds a mistake.
_MOST_THREADS = 10_000
# For kv reads and checkpoints of `async` handlers and of child processes: short work; more threads make it no faster.
_MOST_KV_THREADS = 16


class Executor:
    """Executes calls and reports each outcome exactly once.

    `cancel` only requests the end, and there are no timeouts here: the engine gives up an attempt that does not end,
    and ignores the outcome that it reports later.
    """

    def __init__(
        self,
        *,
        max_result_bytes: int,
        max_value_bytes: int,
        max_kv_bytes: int,
        http_max_body_bytes: int,
        origin_gate: OriginGate | None = None,
        clock: Clock,
        handler_entries: Sequence[str],
        process_concurrency: int,
        guard: Guard,
        preload: bool = False,
        public_url: str = "",
        mail: MailClient | None = None,
    ) -> None:
        """Nothing starts yet.

        `preload`: start the fork server with the executor. `origin_gate`: None for a default. `mail`: None for none.
        """
        limits = Limits(max_result_bytes, max_value_bytes, max_kv_bytes)
        variables = contextvars.Context()
        variables.run(ACCESS_TOKENS.set, AccessTokens(clock))
        variables.run(ORIGIN_GATE.set, origin_gate or OriginGate())
        self._client = HttpClient(http_max_body_bytes, clock, guard)
        variables.run(HTTP_CLIENT.set, self._client)
        variables.run(PUBLIC_URL.set, public_url)
        variables.run(MAIL_CLIENT.set, mail)
        self._mail = mail
        self._clock = clock
        self._open_calls = OpenCalls()
        self._threads = DaemonThreads("rota-handler", _MOST_THREADS)
        self._kv_threads = DaemonThreads("rota-kv", _MOST_KV_THREADS)
        self._async = AsyncCalls(self._open_calls, self._kv_threads, clock, limits, variables)
        self._blocking = ThreadCalls(self._open_calls, self._threads, limits)
        self._processes = ProcessCalls(
            self._open_calls,
            self._kv_threads,
            limits,
            handler_entries,
            concurrency=process_concurrency,
            preload=preload,
        )
        self._starters = (
            ("async", self._async.begin),
            ("thread", self._blocking.begin),
            ("process", self._processes.begin),
        )
        self._stopped = False

    def start(self) -> None:
        self._threads.start()
        self._kv_threads.start()
        self._async.start()
        self._processes.start()

    def begin(self, calls: Sequence[Call], done: Callable[[Call, CallEnd], None]) -> None:
        """Execute the calls; `done` receives each one's outcome once, in any thread."""
        opened = [self._open_calls.open(call, done) for call in calls]
        for kind, start in self._starters:
            batch = [one for one in opened if one.call.kind == kind]
            if batch:
                self._start(batch, start)
        if self._stopped:
            self._release(opened)

    def _start(
        self, batch: Sequence[OpenCall], start: Callable[[Sequence[OpenCall]], None]
    ) -> None:
        try:
            start(batch)
        except (OSError, RuntimeError) as error:
            if self._stopped:
                return  # `begin` releases them
            failed = Failed(RunError("start", f"the attempt could not be started: {error}"))
            for opened in batch:
                self._open_calls.close(opened, failed)

    def cancel(self, run_id: Id, attempt: int, *, force: bool, reason: StopReason) -> None:
        """Request the end of the attempt, with the reason; with `force`, kill it if it has a process of its own."""
        opened = self._open_calls.find(run_id, attempt)
        if opened is not None:
            self._cancel(opened, reason, force=force)

    def _cancel(self, opened: OpenCall, reason: StopReason, *, force: bool) -> None:
        opened.stop.request(reason)
        match opened.call.kind:
            case "async":
                self._async.cancel(opened)
            case "thread":
                self._blocking.cancel(opened)
            case "process":
                self._processes.cancel(opened, force=force)
            case _:
                assert_never(opened.call.kind)

    def stop(self) -> None:
        """Release the attempts in progress and end them as far as possible; takes a few seconds at most."""
        self._stopped = True
        self._wait_for_hooks(self._release(self._open_calls.all()))
        self._client.close()
        if self._mail is not None:
            self._mail.close()
        self._async.stop()
        self._processes.stop()
        self._threads.shutdown()
        self._kv_threads.shutdown()

    def _release(self, calls: Sequence[OpenCall]) -> Sequence[OpenCall]:
        for opened in calls:
            self._open_calls.close(opened, Released())
            self._cancel(opened, StopReason.SHUTDOWN, force=True)
        return calls

    def _wait_for_hooks(self, calls: Sequence[OpenCall]) -> None:
        until = self._clock.monotonic() + HOOK_SECONDS
        for opened in calls:
            opened.stop.wait_for_hooks(max(until - self._clock.monotonic(), 0))

    def lag(self) -> float:
        """Return for how many seconds the handlers' loop has been stuck."""
        return self._async.lag()

    def fork_server_is_silent(self) -> bool:
        """Return whether the fork server does not answer."""
        return self._processes.is_silent

    def reset_lag(self) -> None:
        """Reset the lag of the handlers' loop, after the whole process was stopped."""
        self._async.reset_lag()

    def replace_stuck_loop(self) -> bool:
        """Use another loop if the handlers' loop is stuck; return whether it was."""
        return self._async.replace_stuck_loop()

    def blocking(self) -> Id | None:
        """Return the run that blocks the handlers' loop, if it is known."""
        return self._async.blocking()
