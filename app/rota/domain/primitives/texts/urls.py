"""URLs that requests can be sent to."""

from urllib.parse import urlsplit


def is_http_url(url: str) -> bool:
    """Return whether a text is an absolute http or https URL without white space or backslashes."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        return False
    return bool(usable) and "\\" not in url and all(char > " " for char in url)


def has_credentials(url: str) -> bool:
    """Return whether a URL has a user name or a password."""
    parts = urlsplit(url)
    return parts.username is not None or parts.password is not None
