"""API keys, named secrets, and the audit log."""

# Made by `python -m tests.client.sync_half` from the file of this name in `aio/`: edit that.

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Unpack

from rota.client import wire
from rota.client.models.access import AuditEntry, Key, MadeKey, OwnKey, Secret
from rota.client.parameters import AuditFilters, Duration
from rota.client.retries import Repeat
from rota.client.sync.declared import Declared
from rota.client.sync.pages import Pages
from rota.client.sync.transport import Transport
from rota.client.wire import UNSET


class Keys:
    """API keys. A request that makes a secret is not repeated: the secret of a lost answer is lost."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, page_size: int | None = None) -> Pages[Key]:
        """List all keys, also those that have expired or were revoked."""
        return Pages(self._transport, wire.path("keys"), {"page_size": page_size}, Key)

    def read(self, id: str) -> Key:
        """Read a key, without its secret."""
        return Key.of(self._transport.read(wire.path("keys", id)))

    def own(self) -> OwnKey:
        """Read what the key of this client may do."""
        return OwnKey.of(self._transport.read(wire.path("keys", "self")))

    def create(
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
        return self._made(wire.path("keys"), body)

    def rotate(
        self, id: str, *, overlap: Duration = UNSET, expires_at: datetime | None = UNSET
    ) -> MadeKey:
        """Give a key another secret; the one before is accepted for the `overlap`."""
        body = wire.given(overlap=overlap, expires_at=expires_at)
        return self._made(wire.path("keys", id, "rotate"), body)

    def revoke(self, id: str) -> None:
        """Let a key be accepted no more."""
        self._transport.call("DELETE", wire.path("keys", id))

    def _made(self, path: str, body: dict[str, Any]) -> MadeKey:
        reply = self._transport.call("POST", path, body=body, repeat=Repeat.UNSAFE)
        return MadeKey.of(reply.fields)


class Secrets(Declared[Secret, Secret]):
    """Named secrets, which targets refer to."""

    _folder = "secrets"
    _model = Secret
    _listed_model = Secret

    def declare(
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
        return self._declared(name, body, headers)

    def rotate(
        self, name: str, value: str, *, overlap: Duration = UNSET, if_match: str | None = None
    ) -> Secret:
        """Give a secret another value."""
        reply = self._transport.call(
            "POST",
            self._path(name, "rotate"),
            body=wire.given(value=value, overlap=overlap),
            headers=wire.conditional(if_match),
            repeat=Repeat.UNSAFE,
        )
        return Secret.of(reply.fields)

    def delete(self, name: str, *, if_match: str | None = None, force: bool | None = None) -> None:
        """Remove a secret; raises SecretInUse, unless `force`."""
        headers = wire.conditional(if_match)
        query = {"force": force}
        self._transport.call("DELETE", self._path(name), query=query, headers=headers)


class Audit:
    """The audit log."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, **filters: Unpack[AuditFilters]) -> Pages[AuditEntry]:
        """List what was changed, by whom; the newest first."""
        return Pages(self._transport, wire.path("audit"), filters, AuditEntry)
