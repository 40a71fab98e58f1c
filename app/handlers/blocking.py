"""Plain `def` handlers, in threads."""

from collections.abc import Sequence
from contextvars import Context as Variables
from functools import partial

from app.domain.kv import KvDraft
from app.domain.runs import Cancelled, Outcome
from app.handlers.calls import CallBook, OpenCall
from app.handlers.capture import CURRENT
from app.handlers.outcomes import arguments, raised, returned
from app.handlers.threads import DaemonThreads
from app.sdk import SyncContext, SyncKv


class BlockingCalls:
    """Carries out `def` handlers. They can be asked to end (`ctx.cancelled`), but not made to."""

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

    def _carry_out(self, opened: OpenCall) -> None:
        self._book.close(opened, self._outcome(opened))

    def _outcome(self, opened: OpenCall) -> Outcome:
        call = opened.call
        if opened.cancelled.is_set():
            return Cancelled()
        CURRENT.set(call.journal)
        draft = KvDraft(self._max_value_bytes)
        try:
            context = SyncContext(
                call.info(), call.journal, opened.cancelled, SyncKv(draft, call.load_kv)
            )
            value = call.handler.function(context, *arguments(call.handler, call.input))
            return returned(value, draft, call.kv_revision, self._max_result_bytes)
        except BaseException as error:  # noqa: BLE001  # whatever a handler raises is an outcome
            return raised(error, cancelled=opened.cancelled.is_set())
