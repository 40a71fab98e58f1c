"""What a service has answered, as values or errors."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from rota.client import wire
from rota.client.errors import InvalidResponse, Unreachable
from rota.client.problem_classes import problem_of

# A failure of these is one before anything was sent.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


@dataclass(frozen=True, slots=True)
class Reply:
    """A response of below 400; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def value(self) -> Any:
        """The JSON of the body, None without one; raises InvalidResponse for what is no JSON."""
        if not self.content:
            return None
        try:
            return wire.decode(self.content)
        except ValueError:
            raise InvalidResponse(_no_rota(self.status, self.content)) from None

    @property
    def fields(self) -> dict[str, Any]:
        """The object of the body; raises InvalidResponse if it is none."""
        value = self.value
        if not isinstance(value, dict):
            raise InvalidResponse(_no_rota(self.status, self.content))
        return value


def reply_of(response: httpx.Response, content: bytes) -> Reply:
    """Return a response with its content; raises ProblemError for 400 and above, InvalidResponse for a redirect."""
    if response.status_code >= 400:
        raise problem_of(response.status_code, _document(response, content), _retry_after(response))
    if response.is_redirect:
        raise InvalidResponse(
            f"{response.url} redirects to {response.headers.get('location')}: use that as the URL, if you trust it"
        )
    return Reply(response.status_code, response.headers, content)


def unreachable(url: str, error: httpx.HTTPError) -> Unreachable:
    """Return the error for a request without an answer."""
    why = str(error) or type(error).__name__
    return Unreachable(f"No answer from {url}: {why}", may_be_done=not isinstance(error, _NOT_SENT))


def _document(response: httpx.Response, content: bytes) -> Mapping[str, Any]:
    try:
        document = wire.decode(content)
    except ValueError:
        document = None
    if isinstance(document, dict):
        return document
    title = f"{response.status_code} {response.reason_phrase}".strip()
    return {"title": title, "detail": f"{title} from {response.url}, with no problem document"}


def _retry_after(response: httpx.Response) -> float | None:
    """Return the seconds of the header, which may also be a date; None if it says nothing."""
    text = response.headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        pass
    else:
        return max(seconds, 0.0) if math.isfinite(seconds) else None
    try:
        then = parsedate_to_datetime(text)
        return max((then - parsedate_to_datetime(response.headers["date"])).total_seconds(), 0.0)
    except (KeyError, TypeError, ValueError):
        return None


def _no_rota(status: int, content: bytes) -> str:
    return f"The answer ({status}) is not one of Rota: {content[:100]!r}"
