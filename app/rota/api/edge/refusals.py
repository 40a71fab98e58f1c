"""What a connection is refused for: as a problem on the wire, and as a line in the log, one a second at most."""

from collections import Counter
from collections.abc import Iterable
from typing import Self

import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from rota.api.problems.examples import title
from rota.api.problems.problem import problem_response
from rota.api.problems.types import PROBLEM_TYPES

log = structlog.get_logger(__name__)

_TELL_EVERY = 1.0
_RETRY_AFTER = "10"


class Refusal(Exception):
    """Why a request is not taken."""

    def __init__(self, slug: str, detail: str) -> None:
        super().__init__(detail)
        self.slug = slug
        self.detail = detail

    @classmethod
    def malformed(cls, detail: str) -> Self:
        """Not HTTP/1.1 as it should be."""
        return cls("malformed-request", detail)

    def as_bytes(self, default_headers: Iterable[tuple[bytes, bytes]], *, has_body: bool) -> bytes:
        """Return the whole answer, as it is sent."""
        status = PROBLEM_TYPES[self.slug][0]
        retry = {"retry-after": _RETRY_AFTER} if status == 503 else None
        made = problem_response(status, self.slug, title(self.slug), self.detail, headers=retry)
        headers = [*default_headers, *made.raw_headers, (b"connection", b"close")]
        lines = (b"%s: %s\r\n" % header for header in headers)
        body = bytes(made.body) if has_body else b""
        return b"".join((STATUS_LINE[status], *lines, b"\r\n", body))


class RefusalLog:
    """Counts, so that nobody can fill the log without a key."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._told = float("-inf")

    @property
    def has_more(self) -> bool:
        """Whether something has been counted and not been told."""
        return bool(self._counts)

    def note(self, reason: str, now: float) -> None:
        """Count a refusal, and tell of it unless the last line is fresh."""
        self._counts[reason] += 1
        self.tell(now)

    def tell(self, now: float) -> None:
        """Tell of what has been counted, if it is time."""
        if not self._counts or now < self._told + _TELL_EVERY:
            return
        reasons = dict(self._counts)
        self._counts.clear()
        self._told = now
        log.warning("connections.refused", count=sum(reasons.values()), reasons=reasons)
