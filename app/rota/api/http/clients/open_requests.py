"""Requests that stay open, and the keys that they were made with: they end when it is not accepted any more."""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from rota.domain.access.keys import KeyId
from rota.domain.access.stored_key import Proof, StoredKey

_REVOKED = "This key was revoked."
_NEEDS_KEY = "The service has stored keys now (rota key list), so each request needs one."


@dataclass(slots=True, eq=False)
class OpenRequest:
    """A request, the task that serves it, and once it was ended, why. `proof`: None without a key, on loopback."""

    proof: Proof | None
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
    def opened(self, proof: Proof | None) -> Iterator[OpenRequest]:
        """Count the request of the present task as open, until it is left."""
        task = asyncio.current_task()
        assert task is not None
        request = OpenRequest(proof, task, self._open)
        self._open.add(request)
        try:
            yield request
        finally:
            request.close()

    def end_refused(
        self, keys: Mapping[KeyId, StoredKey], now: datetime, *, needs_key: bool = False
    ) -> None:
        """Cancel the tasks of those whose key, as it is stored now, is not accepted any more.

        `needs_key`: those without one too, which were opened before there were any keys.
        """
        for request in self._open:
            if request.fault is not None:
                continue
            if request.proof is None:
                request.fault = _NEEDS_KEY if needs_key else None
            else:
                request.fault = _fault_of(request.proof, keys, now)
            if request.fault is not None:
                request.task.cancel()


def _fault_of(proof: Proof, keys: Mapping[KeyId, StoredKey], now: datetime) -> str | None:
    key = keys.get(proof.key.id)
    return _REVOKED if key is None else replace(proof, key=key).fault(now)
