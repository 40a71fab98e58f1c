"""All runs, and what is done to many of them."""

# Made by `python -m tests.client.sync_half` from the file of this name in `aio/`: edit that.

from typing import Any, Unpack

from rota.client import wire
from rota.client.models.bulk import BulkItem, BulkRuns
from rota.client.models.lineage import FailureGroups
from rota.client.models.runs import Run, RunSummary
from rota.client.parameters import Fields, GroupFilters, RunFilters, Texts
from rota.client.retries import Repeat
from rota.client.sync.pages import Pages
from rota.client.sync.transport import Transport
from rota.client.wire import UNSET

_BULK_WAIT = 2.0


class Runs:
    """The runs of all tasks."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, **filters: Unpack[RunFilters]) -> Pages[RunSummary]:
        """List runs, those with the newest `scheduled_for` first."""
        return Pages(self._transport, wire.path("runs"), filters, RunSummary)

    def read(self, id: str, *, wait: float | None = None) -> Run:
        """Read a run; `wait`: for its end, that many seconds (at most 30)."""
        document = self._transport.read(wire.path("runs", id), {"wait": wait}, wait or 0.0)
        return Run.of(document)

    def groups(self, *, limit: int | None = None, **filters: Unpack[GroupFilters]) -> FailureGroups:
        """Group failures by what went wrong, the largest groups first."""
        query = {"limit": limit, **filters}
        return FailureGroups.of(self._transport.read(wire.path("runs", "groups"), query))


class Bulk:
    """Operations on every run that a selector matches: preview with `dry_run`, then `confirm`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def rerun(
        self,
        selector: Fields,
        *,
        dry_run: bool = False,
        input: Any = UNSET,
        max_concurrent: int = UNSET,
        wait: float | None = None,
        idempotency_key: str | None = None,
    ) -> BulkRuns:
        """Run finished runs again; `wait`: for the end of the operation, up to 60 s."""
        body = wire.given(
            selector=selector, dry_run=dry_run, input=input, max_concurrent=max_concurrent
        )
        return self._begin("rerun", body, wait, idempotency_key)

    def cancel(
        self,
        selector: Fields,
        *,
        dry_run: bool = False,
        wait: float | None = None,
        idempotency_key: str | None = None,
    ) -> BulkRuns:
        """Cancel unfinished runs."""
        body = {"selector": selector, "dry_run": dry_run}
        return self._begin("cancel", body, wait, idempotency_key)

    def delete(
        self,
        selector: Fields,
        *,
        dry_run: bool = False,
        wait: float | None = None,
        idempotency_key: str | None = None,
    ) -> BulkRuns:
        """Delete finished runs."""
        body = {"selector": selector, "dry_run": dry_run}
        return self._begin("delete", body, wait, idempotency_key)

    def list(self, *, page_size: int | None = None) -> Pages[BulkRuns]:
        """List operations, the newest first."""
        return Pages(self._transport, wire.path("bulk"), {"page_size": page_size}, BulkRuns)

    def read(self, id: str) -> BulkRuns:
        """Read an operation: how far it is."""
        return BulkRuns.of(self._transport.read(wire.path("bulk", id)))

    def items(
        self, id: str, *, result: Texts = None, page_size: int | None = None
    ) -> Pages[BulkItem]:
        """List the result of each run; `result`: `pending`, `done`, `changed`, `refused`."""
        query = {"result": result, "page_size": page_size}
        return Pages(self._transport, wire.path("bulk", id, "items"), query, BulkItem)

    def confirm(self, id: str, *, wait: float | None = None) -> BulkRuns:
        """Execute what was previewed, within an hour; confirmed twice it is executed once."""
        reply = self._transport.call(
            "POST",
            wire.path("bulk", id, "confirm"),
            query={"wait": wait},
            extra=_BULK_WAIT if wait is None else wait,
        )
        return BulkRuns.of(reply.fields)

    def stop(self, id: str) -> BulkRuns:
        """Leave the runs alone that an operation has not reached yet."""
        reply = self._transport.call("POST", wire.path("bulk", id, "cancel"))
        return BulkRuns.of(reply.fields)

    def _begin(
        self, verb: str, body: Fields, wait: float | None, idempotency_key: str | None
    ) -> BulkRuns:
        reply = self._transport.call(
            "POST",
            wire.path("runs", verb),
            query={"wait": wait},
            body=body,
            headers=wire.keyed(idempotency_key),
            repeat=Repeat.KEYED,
            extra=_BULK_WAIT if wait is None else wait,
        )
        return BulkRuns.of(reply.fields)
