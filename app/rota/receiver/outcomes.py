"""The outcomes of calls that were answered, so that a call that comes again does not act again."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal, Protocol

Status = Literal["succeeded", "failed", "retry"]


@dataclass(frozen=True, slots=True)
class Record:
    """How an attempt of a run was answered; `fingerprint` is a digest of what the attempt was given.

    A later attempt that is given the same gets this outcome as well, unless it is a retry.
    """

    attempt: int
    fingerprint: str
    status: Status
    outcome: bytes


class Claim(Protocol):
    """The record of a run while nobody else has it: it is kept as it is left."""

    record: Record | None


class Outcomes(Protocol):
    """Where records are kept. One in your database can commit them together with what the calls do."""

    def exclusively(self, run_id: str) -> AbstractAsyncContextManager[Claim]:
        """Wait until no other call of the run is under way, and hand out its record.

        When the block ends, what is in `record` is kept; if it ends with an exception, nothing is. A store that commits
        what the call does with it discards that if the status of the record is not `succeeded`.
        """


@dataclass(slots=True)
class _Held:
    record: Record | None = None


@dataclass(slots=True)
class _Line:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class InMemoryOutcomes:
    """The latest records, in this process: a restart forgets them, and other processes do not know them."""

    def __init__(self, most: int = 10_000, most_bytes: int = 64 * 1024 * 1024) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._bytes = 0
        self._records: OrderedDict[str, Record] = OrderedDict()
        self._lines: dict[str, _Line] = {}

    @asynccontextmanager
    async def exclusively(self, run_id: str) -> AsyncIterator[Claim]:
        """Hand out the record of a run to one call at a time."""
        line = self._lines.setdefault(run_id, _Line())
        line.users += 1
        try:
            async with line.lock:
                claim = _Held(self._records.get(run_id))
                yield claim
                self._keep(run_id, claim.record)
        finally:
            line.users -= 1
            if not line.users:
                del self._lines[run_id]

    def _keep(self, run_id: str, record: Record | None) -> None:
        self._forget(run_id)
        if record is None:
            return
        self._records[run_id] = record
        self._bytes += len(record.outcome)
        while len(self._records) > self._most or self._bytes > self._most_bytes:
            self._forget(next(iter(self._records)))

    def _forget(self, run_id: str) -> None:
        known = self._records.pop(run_id, None)
        if known is not None:
            self._bytes -= len(known.outcome)
