"""Export, import and revert of a key-value table."""

# Made by `python -m tests.client.sync_half` from the file of this name in `aio/`: edit that.

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

from rota.client import wire
from rota.client.models.kv import KvImported, KvReverted
from rota.client.retries import Repeat
from rota.client.sync.transport import Transport


class KvTransfer:
    """What concerns the whole table of a task."""

    def __init__(self, transport: Transport, task: str) -> None:
        self._transport = transport
        self._task = task

    def export(self, prefix: str = "") -> bytes:
        """Return the entries of one moment, one JSON object a line."""
        path = f"{self._path()}/export"
        return (self._transport.call("GET", path, query={"prefix": prefix or None})).content

    def import_(
        self,
        lines: bytes | Iterable[Mapping[str, Any]],
        mode: Literal["merge", "replace"] = "merge",
    ) -> KvImported:
        """Write the entries of an export, or of mappings with `key` and `value`, all or none."""
        if not isinstance(lines, bytes):
            lines = b"".join(wire.encode(line) + b"\n" for line in lines)
        reply = self._transport.call(
            "POST",
            f"{self._path()}/import",
            query={"mode": mode},
            content=lines,
            headers={"Content-Type": "application/x-ndjson"},
        )
        return KvImported.of(reply.fields)

    def revert(
        self,
        *,
        run: str = wire.UNSET,
        at: datetime = wire.UNSET,
        revision: int = wire.UNSET,
        dry_run: bool = False,
    ) -> KvReverted:
        """Restore the table as it was before a run, at a time or at a revision; raises HistoryTooShort."""
        body = wire.given(run=run, at=at, revision=revision, dry_run=dry_run)
        reply = self._transport.call(
            "POST", f"{self._path()}/revert", body=body, repeat=Repeat.UNSAFE
        )
        return KvReverted.of(reply.fields)

    def _path(self, *key: str) -> str:
        return wire.path("tasks", self._task, "kv", *key)
