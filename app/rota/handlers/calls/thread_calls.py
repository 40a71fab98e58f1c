"""Plain `def` handlers, in threads."""

from collections.abc import Sequence
from contextlib import suppress
from contextvars import Context as Variables
from functools import partial

from rota.daemon_threads import DaemonThreads
from rota.domain.runs.outcomes import Cancelled, Outcome
from rota.handlers.calls.call import Limits, OpenCall, OpenCalls
from rota.handlers.calls.capture import CURRENT
from rota.handlers.kv_migration import migrate_kv_sync
from rota.handlers.outcomes import arguments, raised, returned
from rota.sdk.attempt_draft import AttemptDraft
from rota.sdk.contexts import SyncContext
from rota.sdk.stop import call_hooks
from rota.sdk.sync import SyncKv


class ThreadCalls:
    """Executes `def` handlers. They can be requested to end (`ctx.cancelled`, stop hooks), but not forced to."""

    def __init__(self, open_calls: OpenCalls, threads: DaemonThreads, limits: Limits) -> None:
        self._open_calls = open_calls
        self._threads = threads
        self._limits = limits

    def begin(self, batch: Sequence[OpenCall]) -> None:
        """Start each call in a free thread or a new one; raises RuntimeError if there is none."""
        for opened in batch:
            # With its own context variables: threads are reused.
            self._threads.run(partial(Variables().run, self._execute, opened))

    def cancel(self, opened: OpenCall) -> None:
        """Call the stop hooks of a call in another thread; safe from any thread."""
        hooks = opened.stop.take_hooks()
        if hooks:
            report = partial(opened.call.journal.line, "error")
            with suppress(RuntimeError):  # the threads have been shut down
                self._threads.run(partial(call_hooks, opened.stop, hooks, report))

    def _execute(self, opened: OpenCall) -> None:
        if not opened.closed:  # it may have been released before a thread was free
            self._open_calls.close(opened, execute(opened, self._limits))


def execute(opened: OpenCall, limits: Limits) -> Outcome:
    """Call the handler, and return the outcome of the attempt."""
    call = opened.call
    if opened.stop.requested:
        return Cancelled()
    CURRENT.set(call.journal)
    draft = AttemptDraft(limits.value_bytes, call.run.kv_revision)
    try:
        kv = SyncKv(draft, call.kv, call.run.task)
        context = SyncContext(call.info(), call.journal, opened.stop, draft, kv)
        migrate_kv_sync(call.handler, kv, draft)
        value = call.handler.function(context, *arguments(call.handler, call.run.input))
        return returned(value, draft, limits.result_bytes)
    except BaseException as error:  # noqa: BLE001  # whatever a handler raises is an outcome
        return raised(error, draft, cancelled=opened.stop.requested)
