"""URLs as they are dialled: two parsers must agree on the host."""

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

import httpx

_DEFAULT_PORTS = {"http": 80, "https": 443}


class UrlError(ValueError):
    """A URL cannot be used. The text does not quote it: it may have secrets."""

    def __init__(self) -> None:
        super().__init__("the URL cannot be used")


@dataclass(frozen=True, slots=True)
class Url:
    """The parts of a URL that are sent or dialled; `authority` is the value of `Host`."""

    scheme: str
    host: str
    port: int
    authority: str
    target: bytes

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port

    @property
    def absolute(self) -> bytes:
        """The URL itself, as a proxy takes it."""
        return f"{self.scheme}://{self.authority}".encode("ascii") + self.target

    @property
    def path(self) -> str:
        """The path alone, which may be shown: a query may have secrets."""
        return self.target.partition(b"?")[0].decode("ascii", "replace")


@lru_cache(maxsize=256)
def read_url(text: str) -> Url:
    """Return the parts of an absolute http or https URL; raises UrlError if its parsers do not agree on them."""
    try:
        url, parts = httpx.URL(text), urlsplit(text)
        port, hostname = parts.port, (parts.hostname or "").lower()
    except (httpx.InvalidURL, ValueError):
        raise UrlError from None
    host = url.raw_host.decode("ascii")
    agreed = (
        url.scheme == parts.scheme.lower() and hostname in {host, url.host} and not url.userinfo
    )
    if not agreed or not host or url.scheme not in _DEFAULT_PORTS or port == 0:
        raise UrlError
    default = _DEFAULT_PORTS[url.scheme]
    port = port or default
    name = host.removesuffix(".")  # certificates, and most virtual hosts, are without it
    shown = f"[{name}]" if ":" in name else name
    authority = shown if port == default else f"{shown}:{port}"
    return Url(url.scheme, host, port, authority, url.raw_path)
