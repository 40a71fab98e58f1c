"""Plain `def` handlers, in threads."""

from collections.abc import Sequence
from contextlib import suppress
from contextvars import Context as Variables
from functools import partial

from rota.domain.runs.outcomes import Cancelled, Outcome
from rota.handlers.calls.call import CallBook, OpenCall
from rota.handlers.calls.capture import CURRENT
from rota.handlers.daemon_threads import DaemonThreads
from rota.handlers.kv_migration import upgrade_now
from rota.handlers.outcomes import arguments, raised, returned
from rota.sdk.attempt_draft import AttemptDraft
from rota.sdk.contexts import SyncContext
from rota.sdk.kv import SyncKv
from rota.sdk.stop import call_hooks


class BlockingCalls:
    """Carries out `def` handlers. They can be asked to end (`ctx.cancelled`, stop hooks), but not made to."""

    def __init__(
        self, book: CallBook, threads: DaemonThreads, *, max_result_bytes: int, max_value_bytes: int
    ) -> None:
        self._book = book
        self._threads = threads
        self._max_result_bytes = max_result_bytes
        self._max_value_bytes = max_value_bytes

    def begin(self, batch: Sequence[OpenCall]) -> None:
        """Start each call in a free thread or a new one; raises RuntimeError without one."""
        for opened in batch:
            # In context variables of its own: a thread is used again.
            self._threads.run(partial(Variables().run, self._carry_out, opened))

    def cancel(self, opened: OpenCall) -> None:
        """Call the stop hooks of a call in another thread; safe from any thread."""
        hooks = opened.stop.take()
        if hooks:
            tell = partial(opened.call.journal.line, "error")
            with suppress(RuntimeError):  # the threads have been shut down
                self._threads.run(partial(call_hooks, opened.stop, hooks, tell))

    def _carry_out(self, opened: OpenCall) -> None:
        if opened.closed:  # given back before there was a thread for it
            return
        outcome = carry_out(opened, self._max_result_bytes, self._max_value_bytes)
        self._book.close(opened, outcome)


def carry_out(opened: OpenCall, max_result_bytes: int, max_value_bytes: int) -> Outcome:
    """Call the handler, and return what becomes of the attempt."""
    call = opened.call
    if opened.stop.asked:
        return Cancelled()
    CURRENT.set(call.journal)
    draft = AttemptDraft(max_value_bytes, call.kv_revision)
    try:
        kv = SyncKv(draft, call, call.task)
        context = SyncContext(call.info(), call.journal, opened.stop, draft, kv)
        upgrade_now(call.handler, kv, draft)
        value = call.handler.function(context, *arguments(call.handler, call.input))
        return returned(value, draft, max_result_bytes)
    except BaseException as error:  # noqa: BLE001  # whatever a handler raises is an outcome
        return raised(error, draft, cancelled=opened.stop.asked)
