"""Where the service is, and by which key it is called."""

import os
from dataclasses import dataclass, field
from urllib.parse import urlsplit

DEFAULT_URL = "http://127.0.0.1:8000"
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True, slots=True)
class Address:
    """The URL of the service, without a slash at its end, and the key, if there is one."""

    url: str
    key: str | None = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """The headers of each request."""
        named = {"User-Agent": "rota-client"}
        return named if self.key is None else named | {"Authorization": f"Bearer {self.key}"}

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine, to which no proxy leads."""
        return urlsplit(self.url).hostname in _LOOPBACK


def address(url: str | None, key: str | None) -> Address:
    """Return the address, completed from ROTA_URL and ROTA_KEY; raises ValueError for what is no URL or no key.

    `key`: None is ROTA_KEY; an empty one is none, so that a key is sent to no other service than its own.
    """
    url = (url or os.environ.get("ROTA_URL") or DEFAULT_URL).rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{url!r} is no URL of a service: give one such as {DEFAULT_URL!r}")
    if parts.query or parts.fragment:
        raise ValueError(f"The URL of a service has no query and no fragment: {url!r}")
    if parts.username or parts.password:
        raise ValueError("A URL with a user is refused: give the API key as `key`, or as ROTA_KEY")
    _ = parts.port  # raises ValueError for what is no port
    return Address(url, _checked(os.environ.get("ROTA_KEY", "") if key is None else key))


def _checked(key: str) -> str | None:
    """Return a key without spaces around it, which a file ends with."""
    key = key.strip()
    if not (key.isascii() and key.isprintable()):
        raise ValueError("The key has characters that no API key has")
    return key or None
