"""One task."""

from datetime import datetime
from typing import Any, Literal, Unpack

from rota.client import wire
from rota.client.aio.kv.table import AsyncKv
from rota.client.aio.kv.transaction import AsyncKvTransaction
from rota.client.aio.pages import AsyncPages
from rota.client.aio.registrations import AsyncRegistrations
from rota.client.aio.run import AsyncRunHandle
from rota.client.aio.transport import AsyncTransport
from rota.client.models.operations import Notification
from rota.client.models.planning import Backfill, BegunBackfill, Explanation
from rota.client.models.registrations import DryRun, Registration
from rota.client.models.runs import Run, RunSummary
from rota.client.models.stats import TaskStats
from rota.client.models.tasks import Task
from rota.client.parameters import CatchUp, Duration, RunFiltersOfTask
from rota.client.retries import Repeat
from rota.client.wire import UNSET


class AsyncTaskHandle:
    """A task by its name, without a request; it may not exist."""

    def __init__(self, transport: AsyncTransport, name: str) -> None:
        self._transport = transport
        self._registrations = AsyncRegistrations(transport)
        self.name = name
        #: Its key-value table.
        self.kv = AsyncKv(transport, name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    def transaction(self) -> AsyncKvTransaction:
        """Begin a transaction on its key-value table, for a `with`; its end raises KvConflict."""
        return AsyncKvTransaction(self.kv)

    async def read(self) -> Task:
        """Read the task; raises NotFound."""
        return Task.of(await self._transport.read(self._path()))

    async def declare(
        self, *, if_match: str | None = None, if_absent: bool = False, **fields: Any
    ) -> Registration:
        """Create the task, or replace its definition; history and kv stay."""
        return await self._registrations.declare(
            self.name, fields, if_match=if_match, if_absent=if_absent
        )

    async def update(self, *, if_match: str | None = None, **fields: Any) -> Registration:
        """Change these fields of the definition; None resets one. `next_fire_at` moves the next fire time."""
        return await self._registrations.update(self.name, fields, if_match=if_match)

    async def preview(self, **fields: Any) -> DryRun:
        """Return what `update` with these fields would do, with the fire times that would change."""
        return await self._registrations.preview_update(self.name, fields)

    async def delete(self, *, if_match: str | None = None) -> None:
        """Cancel and remove the task, with its runs and its table."""
        headers = wire.conditional(if_match)
        await self._transport.call("DELETE", self._path(), headers=headers)

    async def pause(self, reason: str | None = None) -> Task:
        """Let nothing fire until `resume`; running runs end as usual."""
        return await self._changed("pause", {"reason": reason})

    async def resume(self, catch_up: CatchUp = "none") -> Task:
        """Let it fire again; `catch_up`: which of the missed fire times run."""
        return await self._changed("resume", {"catch_up": catch_up})

    async def cancel(self) -> Task:
        """End the task: nothing fires, unfinished runs are cancelled; history and kv stay."""
        return await self._changed("cancel", UNSET)

    async def run(
        self,
        input: Any = UNSET,
        *,
        scheduled_for: datetime = UNSET,
        idempotency_key: str | None = None,
    ) -> AsyncRunHandle:
        """Run it now, with its own input or another one; raises Overlap if it skips and is running."""
        body = wire.given(input=input, scheduled_for=scheduled_for)
        run = Run.of(await self._keyed("run", body, idempotency_key))
        return AsyncRunHandle(self._transport, run.id, run)

    async def ping(
        self,
        status: Literal["succeeded", "failed"] = "succeeded",
        *,
        message: str | None = None,
        duration: Duration = UNSET,
        idempotency_key: str | None = None,
    ) -> Run:
        """Report that work elsewhere, which this task watches, was done."""
        body = wire.given(status=status, message=message, duration=duration)
        return Run.of(await self._keyed("ping", body, idempotency_key))

    def runs(self, **filters: Unpack[RunFiltersOfTask]) -> AsyncPages[RunSummary]:
        """List its runs, those with the newest `scheduled_for` first."""
        return AsyncPages(self._transport, self._path("runs"), filters, RunSummary)

    async def upcoming(self, count: int | None = None) -> list[datetime]:
        """Return its next fire times."""
        found = await self._transport.read(self._path("upcoming"), {"count": count})
        return [datetime.fromisoformat(each) for each in found["items"]]

    async def explain(self, at: datetime | str | None = None) -> Explanation:
        """Explain why it runs, or does not, now or at a time."""
        found = await self._transport.read(self._path("explain"), {"at": at})
        return Explanation.of(found)

    async def stats(
        self,
        window: str | None = None,
        *,
        from_: datetime | str | None = None,
        to: datetime | str | None = None,
    ) -> TaskStats:
        """Return its statistics of a window (`24h`), or of a span."""
        query = {"window": window, "from": from_, "to": to}
        return TaskStats.of(await self._transport.read(self._path("stats"), query))

    def alerts(self, *, page_size: int | None = None) -> AsyncPages[Notification]:
        """List the notifications about it; which alerts are raised is in `members` of the first page."""
        return AsyncPages(
            self._transport, self._path("alerts"), {"page_size": page_size}, Notification
        )

    async def backfill(
        self,
        from_: datetime | str,
        to: datetime | str,
        *,
        dry_run: bool = False,
        order: Literal["oldest_first", "newest_first"] = "oldest_first",
        max_concurrent: int = 1,
        spacing: Duration = 0,
        idempotency_key: str | None = None,
    ) -> BegunBackfill:
        """Run the fire times of a span again."""
        body = wire.given(
            from_=from_,
            to=to,
            dry_run=dry_run,
            order=order,
            max_concurrent=max_concurrent,
            spacing=spacing,
        )
        return BegunBackfill.of(await self._keyed("backfill", body, idempotency_key))

    def backfills(self, *, page_size: int | None = None) -> AsyncPages[Backfill]:
        """List its backfills."""
        return AsyncPages(
            self._transport, self._path("backfills"), {"page_size": page_size}, Backfill
        )

    async def read_backfill(self, id: str) -> Backfill:
        """Read a backfill: how far it is."""
        return Backfill.of(await self._transport.read(self._path("backfills", id)))

    async def cancel_backfill(self, id: str) -> Backfill:
        """End a backfill; its waiting runs are cancelled."""
        reply = await self._transport.call("POST", self._path("backfills", id, "cancel"))
        return Backfill.of(reply.fields)

    async def _changed(self, verb: str, body: Any) -> Task:
        return Task.of((await self._transport.call("POST", self._path(verb), body=body)).fields)

    async def _keyed(self, verb: str, body: Any, idempotency_key: str | None) -> dict[str, Any]:
        reply = await self._transport.call(
            "POST",
            self._path(verb),
            body=body,
            headers=wire.keyed(idempotency_key),
            repeat=Repeat.KEYED,
        )
        return reply.fields

    def _path(self, *parts: str) -> str:
        return wire.path("tasks", self.name, *parts)
