"""Registrations: tasks are created, declared and changed."""

from collections.abc import Mapping
from typing import Any

from rota.client import wire
from rota.client.aio.transport import AsyncTransport
from rota.client.models.registrations import DryRun, Registration
from rota.client.parameters import Fields
from rota.client.retries import Repeat


class AsyncRegistrations:
    """Sends definitions of tasks."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def declare(
        self, name: str, fields: Fields, *, if_match: str | None = None, if_absent: bool = False
    ) -> Registration:
        """Create a task, or replace its definition."""
        headers = wire.conditional(if_match, if_absent=if_absent)
        return Registration.of(await self._sent("PUT", name, fields, headers))

    async def preview(self, name: str, fields: Fields) -> DryRun:
        """Return what `declare` would do."""
        return DryRun.of(await self._sent("PUT", name, fields, {}, dry_run=True))

    async def update(
        self, name: str, fields: Fields, *, if_match: str | None = None
    ) -> Registration:
        """Change fields of a definition."""
        headers = wire.conditional(if_match)
        return Registration.of(await self._sent("PATCH", name, fields, headers))

    async def preview_update(self, name: str, fields: Fields) -> DryRun:
        """Return what `update` would do."""
        return DryRun.of(await self._sent("PATCH", name, fields, {}, dry_run=True))

    async def _sent(
        self,
        method: str,
        name: str,
        fields: Fields,
        headers: Mapping[str, str],
        *,
        dry_run: bool | None = None,
    ) -> dict[str, Any]:
        reply = await self._transport.call(
            method,
            wire.path("tasks", name),
            query={"dry_run": dry_run},
            body=dict(fields),
            headers=headers,
            # A repetition would not meet its precondition any more.
            repeat=Repeat.UNSAFE if headers else Repeat.SAFE,
        )
        return reply.fields
