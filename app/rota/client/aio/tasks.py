"""All tasks."""

from collections.abc import Sequence
from typing import Any, Unpack

from rota.client import wire
from rota.client.aio.pages import AsyncPages
from rota.client.aio.registrations import AsyncRegistrations
from rota.client.aio.transport import AsyncTransport
from rota.client.models.registrations import Batch, BatchDryRun, DryRun, Registration
from rota.client.models.tasks import BulkTasks, ListedTask, Task
from rota.client.parameters import Fields, OnConflict, TaskFilters, TaskVerb
from rota.client.retries import Repeat


class AsyncTasks:
    """The tasks of the service."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport
        self._registrations = AsyncRegistrations(transport)

    def list(self, **filters: Unpack[TaskFilters]) -> AsyncPages[ListedTask]:
        """List tasks, in the order of their names."""
        return AsyncPages(self._transport, wire.path("tasks"), filters, ListedTask)

    async def read(self, name: str) -> Task:
        """Read a task; raises NotFound."""
        return Task.of(await self._transport.read(wire.path("tasks", name)))

    async def create(
        self,
        *,
        on_conflict: OnConflict = "reject",
        idempotency_key: str | None = None,
        **fields: Any,
    ) -> Registration:
        """Register a task, with a name or without; raises TaskExists if the name is taken."""
        reply = await self._posted("tasks", fields, on_conflict, idempotency_key)
        return Registration.of(reply)

    async def preview(self, *, on_conflict: OnConflict = "reject", **fields: Any) -> DryRun:
        """Return what `create` would do, with the fire times that would change."""
        reply = await self._posted("tasks", fields, on_conflict, None, dry_run=True)
        return DryRun.of(reply)

    async def declare(
        self, name: str, *, if_match: str | None = None, if_absent: bool = False, **fields: Any
    ) -> Registration:
        """Create a task, or replace its definition; history and kv stay. Unchanged, it changes nothing.

        `if_match`: only if this is its ETag; raises PreconditionFailed otherwise, or with `if_absent` if it exists.
        """
        return await self._registrations.declare(
            name, fields, if_match=if_match, if_absent=if_absent
        )

    async def preview_declaration(self, name: str, **fields: Any) -> DryRun:
        """Return what `declare` would do, with the fire times that would change."""
        return await self._registrations.preview(name, fields)

    async def update(
        self, name: str, *, if_match: str | None = None, **fields: Any
    ) -> Registration:
        """Change these fields of a definition; None resets one."""
        return await self._registrations.update(name, fields, if_match=if_match)

    async def delete(self, name: str, *, if_match: str | None = None) -> None:
        """Cancel and remove a task, with its runs and its table."""
        headers = wire.conditional(if_match)
        await self._transport.call("DELETE", wire.path("tasks", name), headers=headers)

    async def batch(
        self,
        items: Sequence[Fields],
        *,
        on_conflict: OnConflict = "reject",
        idempotency_key: str | None = None,
    ) -> Batch:
        """Register up to 10,000 tasks, all or none."""
        body = {"items": list(items), "on_conflict": on_conflict}
        reply = await self._posted("tasks/batch", body, None, idempotency_key)
        return Batch.of(reply)

    async def preview_batch(
        self, items: Sequence[Fields], *, on_conflict: OnConflict = "reject"
    ) -> BatchDryRun:
        """Return what `batch` would do."""
        body = {"items": list(items), "on_conflict": on_conflict}
        reply = await self._posted("tasks/batch", body, None, None, dry_run=True)
        return BatchDryRun.of(reply)

    async def bulk(
        self,
        verb: TaskVerb,
        selector: Fields,
        *,
        dry_run: bool = False,
        idempotency_key: str | None = None,
        **fields: Any,
    ) -> BulkTasks:
        """Apply a verb to every task that a selector matches; `pause` takes a `reason`, `resume` a `catch_up`."""
        # Each of the verbs but `run` does nothing the second time.
        reply = await self._transport.call(
            "POST",
            wire.path("tasks", verb),
            body={"selector": selector, "dry_run": dry_run, **fields},
            headers=wire.keyed(idempotency_key),
            repeat=Repeat.KEYED if verb == "run" else Repeat.SAFE,
        )
        return BulkTasks.of(reply.fields)

    async def _posted(
        self,
        path: str,
        body: Fields,
        on_conflict: OnConflict | None,
        idempotency_key: str | None,
        *,
        dry_run: bool | None = None,
    ) -> dict[str, Any]:
        reply = await self._transport.call(
            "POST",
            wire.path(*path.split("/")),
            query={"on_conflict": on_conflict, "dry_run": dry_run},
            body=dict(body),
            headers=wire.keyed(idempotency_key),
            repeat=Repeat.SAFE if dry_run else Repeat.KEYED,
        )
        return reply.fields
