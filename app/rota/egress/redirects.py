"""Redirects: the request that follows one, without what belongs to the first server only."""

from dataclasses import replace
from urllib.parse import urljoin

from rota.domain.hosts.policy import farthest
from rota.domain.primitives.texts.urls import has_credentials, is_http_url
from rota.egress.requests import Request, Response
from rota.egress.urls import UrlError, read_url

_TO_GET = frozenset({301, 302, 303})
_KEEPING = frozenset({307, 308})
# What another server may see: nothing that the task has added, since any header may have a secret.
_HARMLESS = frozenset(
    {
        "accept-encoding",
        "user-agent",
        "x-rota-task",
        "x-rota-run",
        "x-rota-chain",
        "x-rota-attempt",
        "x-rota-scheduled-for",
    }
)
_OF_BODY = frozenset({"content-type", "content-encoding", "content-language"})
# Of its signature, which is over the body that is not sent again.
_SIGNATURE = "webhook-"


class RedirectError(Exception):
    """A redirect is not followed; the text is the cause."""


def is_redirect(response: Response) -> bool:
    """Return whether a response is a redirect with a `Location`."""
    return response.status in _TO_GET | _KEEPING and "location" in response.headers


def following(request: Request, response: Response) -> Request | None:
    """Return the request that a response redirects to, None if it is no redirect; raises RedirectError."""
    if not is_redirect(response):
        return None
    url = _absolute(request.url, response.headers["location"])
    here, there = read_url(request.url), read_url(url)
    if here.scheme == "https" and there.scheme == "http":
        raise RedirectError("it redirects from https to http")
    redirected = replace(request, url=url)
    if response.status in _TO_GET and request.method != "HEAD":
        redirected = _as_get(redirected)
    if here.origin == there.origin:
        return redirected
    if redirected.body is not None:
        raise RedirectError(
            f"it redirects to another server with {response.status}, which would send the body there"
        )
    kept = {name: text for name, text in request.headers.items() if name.lower() in _HARMLESS}
    way = farthest(request.redirected_from, response.reached)
    return replace(redirected, headers=kept, redirected_from=way)


def _as_get(request: Request) -> Request:
    headers = {
        name: text
        for name, text in request.headers.items()
        if name.lower() not in _OF_BODY and not name.lower().startswith(_SIGNATURE)
    }
    return replace(request, method="GET", body=None, headers=headers)


def _absolute(url: str, location: str) -> str:
    try:
        # Servers send UTF-8 in headers, which are read as Latin-1.
        joined = urljoin(url, location.encode("latin-1").decode("utf-8", "replace"))
        if not is_http_url(joined) or has_credentials(joined):
            raise UrlError
        read_url(joined)
    except ValueError:
        raise RedirectError("it redirects to a URL that cannot be used") from None
    return joined
