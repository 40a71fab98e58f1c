"""Registrations: tasks are created, declared and changed."""

# Made by `python -m tests.client.sync_half` from the file of this name in `aio/`: edit that.

from collections.abc import Mapping
from typing import Any

from rota.client import wire
from rota.client.models.registrations import DryRun, Registration
from rota.client.parameters import Fields
from rota.client.retries import Repeat
from rota.client.sync.transport import Transport


class Registrations:
    """Sends definitions of tasks."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def declare(
        self, name: str, fields: Fields, *, if_match: str | None = None, if_absent: bool = False
    ) -> Registration:
        """Create a task, or replace its definition."""
        headers = wire.conditional(if_match, if_absent=if_absent)
        return Registration.of(self._sent("PUT", name, fields, headers))

    def preview(self, name: str, fields: Fields) -> DryRun:
        """Return what `declare` would do."""
        return DryRun.of(self._sent("PUT", name, fields, {}, dry_run=True))

    def update(self, name: str, fields: Fields, *, if_match: str | None = None) -> Registration:
        """Change fields of a definition."""
        headers = wire.conditional(if_match)
        return Registration.of(self._sent("PATCH", name, fields, headers))

    def preview_update(self, name: str, fields: Fields) -> DryRun:
        """Return what `update` would do."""
        return DryRun.of(self._sent("PATCH", name, fields, {}, dry_run=True))

    def _sent(
        self,
        method: str,
        name: str,
        fields: Fields,
        headers: Mapping[str, str],
        *,
        dry_run: bool | None = None,
    ) -> dict[str, Any]:
        reply = self._transport.call(
            method,
            wire.path("tasks", name),
            query={"dry_run": dry_run},
            body=dict(fields),
            headers=headers,
            # A repetition would not meet its precondition any more.
            repeat=Repeat.UNSAFE if headers else Repeat.SAFE,
        )
        return reply.fields
