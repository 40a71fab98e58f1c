"""One task."""

# Made by `python -m tests.client.sync_half` from the file of this name in `aio/`: edit that.

from datetime import datetime
from typing import Any, Literal, Unpack

from rota.client import wire
from rota.client.models.operations import Notification
from rota.client.models.planning import Backfill, BegunBackfill, Explanation
from rota.client.models.registrations import DryRun, Registration
from rota.client.models.runs import Run, RunSummary
from rota.client.models.stats import TaskStats
from rota.client.models.tasks import Task
from rota.client.parameters import CatchUp, Duration, RunFiltersOfTask
from rota.client.retries import Repeat
from rota.client.sync.kv.table import Kv
from rota.client.sync.kv.transaction import KvTransaction
from rota.client.sync.pages import Pages
from rota.client.sync.registrations import Registrations
from rota.client.sync.run import RunHandle
from rota.client.sync.transport import Transport
from rota.client.wire import UNSET


class TaskHandle:
    """A task by its name, without a request; it may not exist."""

    def __init__(self, transport: Transport, name: str) -> None:
        self._transport = transport
        self._registrations = Registrations(transport)
        self.name = name
        #: Its key-value table.
        self.kv = Kv(transport, name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    def transaction(self) -> KvTransaction:
        """Begin a transaction on its key-value table, for a `with`; its end raises KvConflict."""
        return KvTransaction(self.kv)

    def read(self) -> Task:
        """Read the task; raises NotFound."""
        return Task.of(self._transport.read(self._path()))

    def declare(
        self, *, if_match: str | None = None, if_absent: bool = False, **fields: Any
    ) -> Registration:
        """Create the task, or replace its definition; history and kv stay."""
        return self._registrations.declare(
            self.name, fields, if_match=if_match, if_absent=if_absent
        )

    def update(self, *, if_match: str | None = None, **fields: Any) -> Registration:
        """Change these fields of the definition; None resets one. `next_fire_at` moves the next fire time."""
        return self._registrations.update(self.name, fields, if_match=if_match)

    def preview(self, **fields: Any) -> DryRun:
        """Return what `update` with these fields would do, with the fire times that would change."""
        return self._registrations.preview_update(self.name, fields)

    def delete(self, *, if_match: str | None = None) -> None:
        """Cancel and remove the task, with its runs and its table."""
        headers = wire.conditional(if_match)
        self._transport.call("DELETE", self._path(), headers=headers)

    def pause(self, reason: str | None = None) -> Task:
        """Let nothing fire until `resume`; running runs end as usual."""
        return self._changed("pause", {"reason": reason})

    def resume(self, catch_up: CatchUp = "none") -> Task:
        """Let it fire again; `catch_up`: which of the missed fire times run."""
        return self._changed("resume", {"catch_up": catch_up})

    def cancel(self) -> Task:
        """End the task: nothing fires, unfinished runs are cancelled; history and kv stay."""
        return self._changed("cancel", UNSET)

    def run(
        self,
        input: Any = UNSET,
        *,
        scheduled_for: datetime = UNSET,
        idempotency_key: str | None = None,
    ) -> RunHandle:
        """Run it now, with its own input or another one; raises Overlap if it skips and is running."""
        body = wire.given(input=input, scheduled_for=scheduled_for)
        run = Run.of(self._keyed("run", body, idempotency_key))
        return RunHandle(self._transport, run.id, run)

    def ping(
        self,
        status: Literal["succeeded", "failed"] = "succeeded",
        *,
        message: str | None = None,
        duration: Duration = UNSET,
        idempotency_key: str | None = None,
    ) -> Run:
        """Report that work elsewhere, which this task watches, was done."""
        body = wire.given(status=status, message=message, duration=duration)
        return Run.of(self._keyed("ping", body, idempotency_key))

    def runs(self, **filters: Unpack[RunFiltersOfTask]) -> Pages[RunSummary]:
        """List its runs, those with the newest `scheduled_for` first."""
        return Pages(self._transport, self._path("runs"), filters, RunSummary)

    def upcoming(self, count: int | None = None) -> list[datetime]:
        """Return its next fire times."""
        found = self._transport.read(self._path("upcoming"), {"count": count})
        return [datetime.fromisoformat(each) for each in found["items"]]

    def explain(self, at: datetime | str | None = None) -> Explanation:
        """Explain why it runs, or does not, now or at a time."""
        found = self._transport.read(self._path("explain"), {"at": at})
        return Explanation.of(found)

    def stats(
        self,
        window: str | None = None,
        *,
        from_: datetime | str | None = None,
        to: datetime | str | None = None,
    ) -> TaskStats:
        """Return its statistics of a window (`24h`), or of a span."""
        query = {"window": window, "from": from_, "to": to}
        return TaskStats.of(self._transport.read(self._path("stats"), query))

    def alerts(self, *, page_size: int | None = None) -> Pages[Notification]:
        """List the notifications about it; which alerts are raised is in `members` of the first page."""
        return Pages(self._transport, self._path("alerts"), {"page_size": page_size}, Notification)

    def backfill(
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
        return BegunBackfill.of(self._keyed("backfill", body, idempotency_key))

    def backfills(self, *, page_size: int | None = None) -> Pages[Backfill]:
        """List its backfills."""
        return Pages(self._transport, self._path("backfills"), {"page_size": page_size}, Backfill)

    def read_backfill(self, id: str) -> Backfill:
        """Read a backfill: how far it is."""
        return Backfill.of(self._transport.read(self._path("backfills", id)))

    def cancel_backfill(self, id: str) -> Backfill:
        """End a backfill; its waiting runs are cancelled."""
        reply = self._transport.call("POST", self._path("backfills", id, "cancel"))
        return Backfill.of(reply.fields)

    def _changed(self, verb: str, body: Any) -> Task:
        return Task.of((self._transport.call("POST", self._path(verb), body=body)).fields)

    def _keyed(self, verb: str, body: Any, idempotency_key: str | None) -> dict[str, Any]:
        reply = self._transport.call(
            "POST",
            self._path(verb),
            body=body,
            headers=wire.keyed(idempotency_key),
            repeat=Repeat.KEYED,
        )
        return reply.fields

    def _path(self, *parts: str) -> str:
        return wire.path("tasks", self.name, *parts)
