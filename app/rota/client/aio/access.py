"""API keys, named secrets, and the audit log."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Unpack

from rota.client import wire
from rota.client.aio.declared import AsyncDeclared
from rota.client.aio.pages import AsyncPages
from rota.client.aio.transport import AsyncTransport
from rota.client.models.access import AuditEntry, Key, MadeKey, OwnKey, Secret
from rota.client.parameters import AuditFilters, Duration
from rota.client.retries import Repeat
from rota.client.wire import UNSET


class AsyncKeys:
    """API keys. A request that makes a secret is not repeated: the secret of a lost answer is lost."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    def list(self, *, page_size: int | None = None) -> AsyncPages[Key]:
        """List all keys, also those that have expired or were revoked."""
        return AsyncPages(self._transport, wire.path("keys"), {"page_size": page_size}, Key)

    async def read(self, id: str) -> Key:
        """Read a key, without its secret."""
        return Key.of(await self._transport.read(wire.path("keys", id)))

    async def own(self) -> OwnKey:
        """Read what the key of this client may do."""
        return OwnKey.of(await self._transport.read(wire.path("keys", "self")))

    async def create(
        self,
        name: str,
        scopes: Sequence[str],
        *,
        tasks: Sequence[str] | None = None,
        queues: Sequence[str] | None = None,
        rate: float | None = None,
        max_tasks: int | None = None,
        max_unfinished_runs: int | None = None,
        max_kv_bytes: int | None = None,
        expires_at: datetime | None = None,
    ) -> MadeKey:
        """Make a key; `key` of what is returned is its text, which is not shown again."""
        body = {
            "name": name,
            "scopes": scopes,
            "tasks": tasks,
            "queues": queues,
            "rate": rate,
            "max_tasks": max_tasks,
            "max_unfinished_runs": max_unfinished_runs,
            "max_kv_bytes": max_kv_bytes,
            "expires_at": expires_at,
        }
        return await self._made(wire.path("keys"), body)

    async def rotate(
        self, id: str, *, overlap: Duration = UNSET, expires_at: datetime | None = UNSET
    ) -> MadeKey:
        """Give a key another secret; the one before is accepted for the `overlap`."""
        body = wire.given(overlap=overlap, expires_at=expires_at)
        return await self._made(wire.path("keys", id, "rotate"), body)

    async def revoke(self, id: str) -> None:
        """Let a key be accepted no more."""
        await self._transport.call("DELETE", wire.path("keys", id))

    async def _made(self, path: str, body: dict[str, Any]) -> MadeKey:
        reply = await self._transport.call("POST", path, body=body, repeat=Repeat.UNSAFE)
        return MadeKey.of(reply.fields)


class AsyncSecrets(AsyncDeclared[Secret, Secret]):
    """Named secrets, which targets refer to."""

    _folder = "secrets"
    _model = Secret
    _listed_model = Secret

    async def declare(
        self,
        name: str,
        origins: Sequence[str],
        *,
        value: str = UNSET,
        tasks: Sequence[str] = UNSET,
        description: str | None = UNSET,
        if_match: str | None = None,
        if_absent: bool = False,
    ) -> Secret:
        """Store a secret, or change to whom it may be sent; its value is never returned."""
        body = wire.given(origins=origins, value=value, tasks=tasks, description=description)
        headers = wire.conditional(if_match, if_absent=if_absent)
        return await self._declared(name, body, headers)

    async def rotate(
        self, name: str, value: str, *, overlap: Duration = UNSET, if_match: str | None = None
    ) -> Secret:
        """Give a secret another value."""
        reply = await self._transport.call(
            "POST",
            self._path(name, "rotate"),
            body=wire.given(value=value, overlap=overlap),
            headers=wire.conditional(if_match),
            repeat=Repeat.UNSAFE,
        )
        return Secret.of(reply.fields)

    async def delete(
        self, name: str, *, if_match: str | None = None, force: bool | None = None
    ) -> None:
        """Remove a secret; raises SecretInUse, unless `force`."""
        headers = wire.conditional(if_match)
        query = {"force": force}
        await self._transport.call("DELETE", self._path(name), query=query, headers=headers)


class AsyncAudit:
    """The audit log."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    def list(self, **filters: Unpack[AuditFilters]) -> AsyncPages[AuditEntry]:
        """List what was changed, by whom; the newest first."""
        return AsyncPages(self._transport, wire.path("audit"), filters, AuditEntry)
