"""Origins: the servers that a secret may be sent to, as scheme, host and port (RFC 6454)."""

import ipaddress
import re
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

MOST_ORIGINS = 20
LONGEST_ORIGIN = 300

_PORTS = {"http": 80, "https": 443}
# ASCII only: other characters may be mapped to another host by what connects than by what judges.
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?")


def origin_of(url: str) -> str | None:
    """Return the origin of a URL in its one spelling (`https://api.example.com`); None if it has none to rely on.

    Two URLs with the same origin are sent to the same server. A host that is not in ASCII has none: write it as
    punycode.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    host = _host(parts)
    if parts.scheme not in _PORTS or host is None or "\\" in parts.netloc:
        return None
    return f"{parts.scheme}://{host}{'' if port in {None, _PORTS[parts.scheme]} else f':{port}'}"


def is_loopback(origin: str) -> bool:
    """Return whether the host of an origin is this machine by its name or address."""
    host = (urlsplit(origin).hostname or "").lower()
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _host(parts: SplitResult) -> str | None:
    host = (parts.hostname or "").lower()
    if ":" in host:
        return _ip_v6(host)
    return host if _HOST.fullmatch(host) else None


def _ip_v6(host: str) -> str | None:
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError:
        return None
    return None if address.scope_id else f"[{address.compressed}]"


def _check(given: str) -> str:
    """Return an origin in its one spelling; raises PydanticCustomError."""
    origin = origin_of(given)
    if origin is None or not _is_bare(given):
        # What was given is not quoted: it may have a password in it.
        raise PydanticCustomError(
            "origin",
            "give scheme, host and port of a server, such as 'https://api.example.com', without a path, a query or "
            "credentials",
        )
    if origin.startswith("http:") and not is_loopback(origin):
        raise PydanticCustomError(
            "origin", "a secret is sent over https only, except to this machine (http://localhost)"
        )
    return origin


def _is_bare(given: str) -> bool:
    parts = urlsplit(given)
    extra = parts.query or parts.fragment or "@" in parts.netloc or "?" in given or "#" in given
    return parts.path in {"", "/"} and not extra and all(char > " " for char in given)


Origin = Annotated[str, Field(max_length=LONGEST_ORIGIN), AfterValidator(_check)]
Origins = Annotated[tuple[Origin, ...], Field(min_length=1, max_length=MOST_ORIGINS)]
