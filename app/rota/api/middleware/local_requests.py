"""Requests to a service without keys: only those of this machine are let in."""

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Scope

from rota.api.problems.problem import problem_response

# Headers that proxies add to forwarded requests. A proxy that adds none cannot be distinguished from a program of this
# machine, unless it uses HTTP/1.0, as nginx does with its upstreams by default.
_FORWARDING = frozenset(
    {
        "forwarded",
        "via",
        "x-real-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-original-host",
        "x-envoy-external-address",
        "true-client-ip",
        "cf-connecting-ip",
        "fastly-client-ip",
    }
)
_FORWARDING_PREFIXES = ("x-forwarded", "x-original-forwarded")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?", re.ASCII)
_SET_A_KEY = (
    "Set ROTA_API_KEY (for example to the output of: openssl rand -hex 24), or make a key with rota key create, and "
    "send it as Authorization: Bearer <key>"
)


def check_local(scope: Scope, headers: Headers) -> ASGIApp | None:
    """Return the refusal of a request that does not come from a program of this machine, else None."""
    way = _way_here(scope, headers)
    if way is not None:
        return _refusal(
            403,
            "not-local",
            f"Without an API key the service accepts requests from its own machine only, and this one {way}. "
            f"{_SET_A_KEY}.",
        )
    if not _is_loopback_host(headers.getlist("host")):
        return _refusal(
            421,
            "wrong-host",
            "Without an API key the service accepts localhost, 127.0.0.1 and [::1] as host only. "
            "Set ROTA_API_KEY, or make a key with rota key create, to serve other names.",
        )
    if _is_foreign_page(scope, headers):
        return _refusal(
            403,
            "foreign-origin",
            "Without an API key the service refuses requests from other sites' web pages. Set ROTA_API_KEY, or make a "
            "key with rota key create.",
        )
    return None


def _way_here(scope: Scope, headers: Headers) -> str | None:
    """Return how a request came from another machine; None if nothing indicates that it did."""
    client = scope.get("client")
    if client and client[0] and not _is_loopback_address(client[0]):
        return f"comes from {client[0]}"
    for name in headers:
        if name in _FORWARDING or name.startswith(_FORWARDING_PREFIXES):
            return f"came through a proxy (it has the header {name.title()})"
    if scope.get("http_version") == "1.0":
        return "is HTTP/1.0, which some proxies use"
    return None


def _is_foreign_page(scope: Scope, headers: Headers) -> bool:
    """Return whether a web page of another origin makes the request; following a link to a page of ours is allowed."""
    origin = headers.get("origin")
    if origin is not None:
        return origin.lower() != f"{scope['scheme']}://{headers['host']}".lower()
    # A page loads images and frames without an Origin header.
    opens = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == (
        "navigate",
        "document",
    )
    return headers.get("sec-fetch-site") in {"cross-site", "same-site"} and not opens


def _is_loopback_host(hosts: Sequence[str]) -> bool:
    return len(hosts) == 1 and _is_loopback(hosts[0])


# Clients name the same few hosts in every request.
@lru_cache(maxsize=64)
def _is_loopback(host: str) -> bool:
    match = _HOST.fullmatch(host)
    if match is None:
        return False
    name = match[1].strip("[]").lower()
    # An address cannot be rebound, so every address in 127.0.0.0/8 is this machine.
    return name in {"localhost", "localhost."} or _is_loopback_address(name)


@lru_cache(maxsize=64)
def _is_loopback_address(text: str) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _refusal(status: int, slug: str, detail: str) -> ASGIApp:
    title = "Not the requested host" if status == 421 else "Not allowed"
    return problem_response(status, slug, title, detail)
