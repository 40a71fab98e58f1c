"""One run."""

from typing import Any

from rota.client import wire
from rota.client.aio.pages import AsyncPages
from rota.client.aio.result import wait_for_end
from rota.client.aio.streams import AsyncEventSource, AsyncStream
from rota.client.aio.transport import AsyncTransport
from rota.client.errors import ResultTimeout, not_succeeded
from rota.client.event import log_line_of
from rota.client.models.kv import KvChange
from rota.client.models.lineage import Lineage
from rota.client.models.runs import LogLine, Run
from rota.client.problems import WrongStatus
from rota.client.retries import Repeat
from rota.client.wire import UNSET


class AsyncRunHandle:
    """A run by its id, without a request. `started` is the run as it was accepted, if this client has started it."""

    def __init__(self, transport: AsyncTransport, id: str, started: Run | None = None) -> None:
        self._transport = transport
        self.id = id
        self.started = started

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"

    async def read(self, *, wait: float | None = None) -> Run:
        """Read the run; `wait`: for its end, that many seconds (at most 30)."""
        document = await self._transport.read(self._path(), {"wait": wait}, extra=wait or 0.0)
        return Run.of(document)

    async def wait(self, timeout: float | None = None) -> Run:  # noqa: ASYNC109  # as in the other half
        """Wait until the run has ended, and return it, however it ended; raises ResultTimeout."""
        run = await wait_for_end(self._transport, self.id, timeout)
        if run is None:
            raise ResultTimeout(f"The run {self.id} has not ended within {timeout} s; it goes on")
        return run

    async def result(self, timeout: float | None = None) -> Any:  # noqa: ASYNC109  # the same
        """Wait for the end of the run, and return its result.

        Raises RunFailed, RunCancelled or RunSkipped if it has not succeeded, ResultTimeout if it takes longer.
        """
        run = await self.wait(timeout)
        if run.status != "succeeded":
            raise not_succeeded(run)
        return run.result

    async def cancel(self) -> Run:
        """Cancel the run; a running one is requested to end. Raises WrongStatus if it has ended."""
        try:
            reply = await self._transport.call("POST", self._path("cancel"))
        except WrongStatus as error:
            is_cancelled = (error.members.get("run") or {}).get("status") == "cancelled"
            if not (error.may_be_done and is_cancelled):
                raise
            return await self.read()  # it was cancelled by the request whose answer was lost
        return Run.of(reply.fields)

    async def rerun(
        self, *, input: Any = UNSET, idempotency_key: str | None = None
    ) -> "AsyncRunHandle":
        """Run it again, with its input or another one."""
        reply = await self._transport.call(
            "POST",
            self._path("rerun"),
            body=wire.given(input=input),
            headers=wire.keyed(idempotency_key),
            repeat=Repeat.KEYED,
        )
        run = Run.of(reply.fields)
        return AsyncRunHandle(self._transport, run.id, run)

    def logs(self, *, page_size: int | None = None) -> AsyncPages[LogLine]:
        """List what the handler has printed and logged so far."""
        return AsyncPages(self._transport, self._path("logs"), {"page_size": page_size}, LogLine)

    def follow(self, *, after: str | None = None) -> AsyncStream[LogLine]:
        """Stream log lines as they are written, until the run has ended."""
        source = AsyncEventSource(
            self._transport, self._path("logs"), {"follow": True}, after=after
        )
        return AsyncStream(source, log_line_of, end="end")

    async def lineage(self) -> Lineage:
        """Read which runs have led to this one, and which have followed from it."""
        return Lineage.of(await self._transport.read(self._path("lineage")))

    def kv_changes(self, *, page_size: int | None = None) -> AsyncPages[KvChange]:
        """List the entries that the run has written in the table of its task."""
        return AsyncPages(self._transport, self._path("kv"), {"page_size": page_size}, KvChange)

    def _path(self, *parts: str) -> str:
        return wire.path("runs", self.id, *parts)
