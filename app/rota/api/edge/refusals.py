"""Refusals of requests: as a problem on the wire, and in the log, at most one line a second."""

from collections import Counter
from collections.abc import Iterable
from typing import Self

import httptools
import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from rota.api.problems.examples import title
from rota.api.problems.problem import problem_response
from rota.api.problems.types import PROBLEM_TYPES

log = structlog.get_logger(__name__)

_LOG_EVERY = 1.0
_RETRY_AFTER = "10"


class Refusal(Exception):
    """Why a request is refused."""

    def __init__(self, slug: str, detail: str) -> None:
        super().__init__(detail)
        self.slug = slug
        self.detail = detail

    @classmethod
    def malformed(cls, detail: str) -> Self:
        """Return the refusal of a request that is not valid HTTP/1.1."""
        return cls("malformed-request", detail)

    def as_bytes(self, default_headers: Iterable[tuple[bytes, bytes]], *, has_body: bool) -> bytes:
        """Return the whole response, as it is sent."""
        status = PROBLEM_TYPES[self.slug][0]
        retry = {"retry-after": _RETRY_AFTER} if status == 503 else None
        made = problem_response(status, self.slug, title(self.slug), self.detail, headers=retry)
        headers = [*default_headers, *made.raw_headers, (b"connection", b"close")]
        lines = (b"%s: %s\r\n" % header for header in headers)
        body = bytes(made.body) if has_body else b""
        return b"".join((STATUS_LINE[status], *lines, b"\r\n", body))


def refusal_of(error: httptools.HttpParserError) -> Refusal:
    """Return the refusal that a callback of the parser has raised, or that of what the parser could not read."""
    cause = error.__context__
    if isinstance(cause, Refusal):
        return cause
    detail = (
        "its target is no path"
        if isinstance(error, httptools.HttpParserCallbackError)
        else str(error)
    )
    return Refusal.malformed(f"This is not HTTP/1.1: {detail}.")


class RefusalLog:
    """Counts refusals, so that a client without a key cannot fill the log."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._logged_at = float("-inf")

    @property
    def has_more(self) -> bool:
        """Whether refusals have been counted and not been logged."""
        return bool(self._counts)

    def note(self, reason: str, now: float) -> None:
        """Count a refusal, and log the counts unless the last line is recent."""
        self._counts[reason] += 1
        self.flush(now)

    def flush(self, now: float) -> None:
        """Log the counts, if the last line is not recent."""
        if not self._counts or now < self._logged_at + _LOG_EVERY:
            return
        reasons = dict(self._counts)
        self._counts.clear()
        self._logged_at = now
        log.warning("connections.refused", count=sum(reasons.values()), reasons=reasons)
