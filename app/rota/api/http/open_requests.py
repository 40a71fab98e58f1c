"""Requests that stay open, and the keys that they were made with: they end when their key is not accepted any more."""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from rota.domain.access.keys import KeyId
from rota.domain.access.stored_key import Proof, StoredKey

_REVOKED = "This key was revoked."


@dataclass(slots=True, eq=False)
class OpenRequest:
    """A request, the task that serves it, and once it was ended, why."""

    proof: Proof
    task: asyncio.Task[object]
    among: "set[OpenRequest]" = field(repr=False)
    fault: str | None = None

    def close(self) -> None:
        """Count it as open no longer: it is not ended any more."""
        self.among.discard(self)


class OpenRequests:
    """The open requests of one process; used on the loop of the requests only."""

    def __init__(self) -> None:
        self._open: set[OpenRequest] = set()

    def __len__(self) -> int:
        return len(self._open)

    @contextlib.contextmanager
    def opened(self, proof: Proof) -> Iterator[OpenRequest]:
        """Count the request of the present task as open, until it is left."""
        task = asyncio.current_task()
        assert task is not None
        request = OpenRequest(proof, task, self._open)
        self._open.add(request)
        try:
            yield request
        finally:
            request.close()

    def end_refused(self, keys: Mapping[KeyId, StoredKey], now: datetime) -> None:
        """Cancel the tasks of those whose key, as it is stored now, is not accepted any more."""
        for request in self._open:
            if request.fault is not None:
                continue
            key = keys.get(request.proof.key.id)
            request.fault = _REVOKED if key is None else replace(request.proof, key=key).fault(now)
            if request.fault is not None:
                request.task.cancel()
