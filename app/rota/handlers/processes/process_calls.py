"""Handlers with `isolation="process"`, from the service's side: a child for each attempt."""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from logging import getLogger
from threading import Thread

from rota.domain.primitives.ids import Id
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Blame, Cancelled, Failed, Lost, Outcome
from rota.handlers.calls.call import CallBook, OpenCall
from rota.handlers.calls.event_loop import end_tasks
from rota.handlers.daemon_threads import DaemonThreads
from rota.handlers.processes.connection import Conversation
from rota.handlers.processes.fork_server import ForkServer, ServerLost

_STOP_SECONDS = 5.0
_MOST_REMEMBERED = 1_000
#: For each process at a time that handlers may ask for, how many suspects get one: most of these wait more than they
#: work, and what a crash leaves behind is to go on soon.
SUSPECTS_PER_PROCESS = 4

_log = getLogger(__name__)


class Children:
    """Carries out isolated handlers, supervised by the thread "rota-children"."""

    def __init__(
        self,
        book: CallBook,
        threads: DaemonThreads,
        entries: Sequence[str],
        *,
        concurrency: int,
        max_result_bytes: int,
        max_value_bytes: int,
        max_kv_bytes: int,
        preload: bool,
    ) -> None:
        self._book = book
        self._threads = threads
        self._limits = (max_result_bytes, max_value_bytes, max_kv_bytes)
        self._preload = preload
        self._entries = entries
        self._loop = asyncio.new_event_loop()
        self._server = ForkServer(entries, self._loop)
        # Suspects take no slot from the others.
        self._slots = {
            False: asyncio.Semaphore(concurrency),
            True: asyncio.Semaphore(concurrency * SUSPECTS_PER_PROCESS),
        }
        # Runs that met with the end of the server together: which of them it was shows when each has one to itself.
        self._lost_together: set[Id] = set()
        self._conversations: dict[OpenCall, Conversation] = {}
        self._thread = Thread(target=self._loop.run_forever, name="rota-children", daemon=True)

    def start(self) -> None:
        if self._preload:
            self._loop.call_soon(self._server.start)
        self._thread.start()

    def begin(self, batch: Sequence[OpenCall]) -> None:
        """Start the calls as slots become free; safe from any thread."""
        self._loop.call_soon_threadsafe(self._launch, batch)

    def cancel(self, opened: OpenCall, *, force: bool) -> None:
        """Ask the attempt to end, or kill it; safe from any thread."""
        # A closed loop has ended its children.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._interrupt, opened, force)

    @property
    def is_silent(self) -> bool:
        """Whether the process server does not answer; safe from any thread."""
        return self._server.is_silent

    def stop(self) -> None:
        """Kill every child and end the thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._shut_down)
            self._thread.join(_STOP_SECONDS)
        if not self._thread.is_alive():
            self._loop.close()

    def _launch(self, batch: Sequence[OpenCall]) -> None:
        for opened in batch:
            opened.task = self._loop.create_task(self._carry_out(opened))

    def _interrupt(self, opened: OpenCall, force: bool) -> None:  # noqa: FBT001  # a callback
        conversation = self._conversations.get(opened)
        if conversation is None:
            # It waits for a slot. A task cancelled before its first step would not report.
            if opened.task is not None and opened.started:
                opened.task.cancel()
        else:
            conversation.ask_to_end()
            if force:
                conversation.kill()

    async def _carry_out(self, opened: OpenCall) -> None:
        opened.started = True
        try:
            outcome = await self._outcome(opened)
        except asyncio.CancelledError:
            outcome = Cancelled()
        except ServerLost as error:
            outcome = self._lost(opened, error)
        except Exception as error:  # noqa: BLE001  # as an outcome, or the run would never end
            _log.exception("run %s could not be carried out in a process", opened.call.run_id)
            outcome = Failed(RunError("process.start", f"no process to run it: {error}"))
        if not isinstance(outcome, Lost):
            self._lost_together.discard(opened.call.run_id)
        self._book.close(opened, outcome)

    def _lost(self, opened: OpenCall, error: ServerLost) -> Lost:
        if error.alone:
            return Lost(Blame.ALONE, "the process server ended while it had this attempt only")
        if len(self._lost_together) < _MOST_REMEMBERED:
            self._lost_together.add(opened.call.run_id)
        return Lost(Blame.SHARED, "the process server ended, and with it all of its processes")

    async def _outcome(self, opened: OpenCall) -> Outcome:
        if opened.stop.asked:
            return Cancelled()
        async with self._slots[opened.call.suspect]:
            with self._server_for(opened) as server:
                conversation = Conversation(
                    opened.call, opened.stop, server, self._threads, *self._limits
                )
                self._conversations[opened] = conversation
                try:
                    return await conversation.hold()
                finally:
                    opened.stop.ran()
                    del self._conversations[opened]

    @contextlib.contextmanager
    def _server_for(self, opened: OpenCall) -> Iterator[ForkServer]:
        if opened.call.run_id not in self._lost_together:
            yield self._server
            return
        own = ForkServer(self._entries, self._loop)
        try:
            yield own
        finally:
            own.stop()

    def _shut_down(self) -> None:
        self._server.stop()
        end_tasks(self._loop)
