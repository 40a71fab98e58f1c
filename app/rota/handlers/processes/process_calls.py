"""Handlers with `isolation="process"`, in the service: a child process for each attempt."""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from logging import getLogger
from threading import Thread

from rota.daemon_threads import DaemonThreads
from rota.domain.primitives.ids import Id
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Blame, Cancelled, Failed, Lost, Outcome
from rota.handlers.calls.call import Limits, OpenCall, OpenCalls
from rota.handlers.calls.event_loop import end_tasks
from rota.handlers.processes.connection import ChildConnection
from rota.handlers.processes.fork_server import ForkServer, ServerLost

_STOP_SECONDS = 5.0
_MOST_REMEMBERED = 1_000
#: How many processes suspects get for each one that other handlers get: most of them wait more than they work, and the
#: runs of a crashed process are to continue soon.
SUSPECTS_PER_PROCESS = 4

_log = getLogger(__name__)


class ProcessCalls:
    """Executes isolated handlers, supervised by the thread "rota-children"."""

    def __init__(
        self,
        open_calls: OpenCalls,
        threads: DaemonThreads,
        limits: Limits,
        entries: Sequence[str],
        *,
        concurrency: int,
        preload: bool,
    ) -> None:
        self._open_calls = open_calls
        self._threads = threads
        self._limits = limits
        self._preload = preload
        self._entries = entries
        self._loop = asyncio.new_event_loop()
        self._server = ForkServer(entries, self._loop)
        # Suspects take no slot from the others.
        self._slots = {
            False: asyncio.Semaphore(concurrency),
            True: asyncio.Semaphore(concurrency * SUSPECTS_PER_PROCESS),
        }
        # Runs that were lost together when the server ended: each gets a server of its own, to find which one ended it.
        self._lost_together: set[Id] = set()
        self._connections: dict[OpenCall, ChildConnection] = {}
        self._thread = Thread(target=self._loop.run_forever, name="rota-children", daemon=True)

    def start(self) -> None:
        if self._preload:
            self._loop.call_soon(self._server.start)
        self._thread.start()

    def begin(self, batch: Sequence[OpenCall]) -> None:
        """Start the calls as slots become free; safe from any thread."""
        self._loop.call_soon_threadsafe(self._launch, batch)

    def cancel(self, opened: OpenCall, *, force: bool) -> None:
        """Request the end of the attempt, or kill it; safe from any thread."""
        # A closed loop has no children any more.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._interrupt, opened, force)

    @property
    def is_silent(self) -> bool:
        """Whether the fork server does not answer; safe from any thread."""
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
            opened.task = self._loop.create_task(self._execute(opened))

    def _interrupt(self, opened: OpenCall, force: bool) -> None:  # noqa: FBT001  # a callback
        connection = self._connections.get(opened)
        if connection is None:
            # It waits for a slot. A task that is cancelled before its first step ends without an outcome.
            if opened.task is not None and opened.started:
                opened.task.cancel()
        else:
            connection.request_stop()
            if force:
                connection.kill()

    async def _execute(self, opened: OpenCall) -> None:
        opened.started = True
        try:
            outcome = await self._outcome(opened)
        except asyncio.CancelledError:
            outcome = Cancelled()
        except ServerLost as error:
            outcome = self._lost(opened, error)
        except Exception as error:  # noqa: BLE001  # without an outcome the run would never end
            _log.exception("run %s could not be executed in a process", opened.call.run_id)
            outcome = Failed(RunError("process.start", f"no process to run it: {error}"))
        if not isinstance(outcome, Lost):
            self._lost_together.discard(opened.call.run_id)
        self._open_calls.close(opened, outcome)

    def _lost(self, opened: OpenCall, error: ServerLost) -> Lost:
        if error.alone:
            return Lost(Blame.ALONE, "the fork server ended while it had this attempt only")
        if len(self._lost_together) < _MOST_REMEMBERED:
            self._lost_together.add(opened.call.run_id)
        return Lost(Blame.SHARED, "the fork server ended, and with it all of its processes")

    async def _outcome(self, opened: OpenCall) -> Outcome:
        if opened.stop.requested:
            return Cancelled()
        async with self._slots[opened.call.suspect]:
            with self._server_for(opened) as server:
                connection = ChildConnection(
                    opened.call, opened.stop, server, self._threads, self._limits
                )
                self._connections[opened] = connection
                try:
                    return await connection.run()
                finally:
                    opened.stop.hooks_called()
                    del self._connections[opened]

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
