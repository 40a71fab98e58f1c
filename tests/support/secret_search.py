"""Searching for secrets in what is kept, shown and logged: as bytes, in base64, and percent-encoded."""

from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator, Sequence
from urllib.parse import quote, quote_plus


def found_in(data: bytes, secrets: Sequence[str]) -> list[str]:
    """Return those of the secrets that are in data in one of their forms."""
    return [secret for secret in secrets if any(form in data for form in _forms(secret))]


def _forms(secret: str) -> Iterator[bytes]:
    plain = secret.encode()
    yield plain
    yield from _base64(plain)
    for percent in (quote(secret), quote(secret, safe=""), quote_plus(secret)):
        yield percent.encode()


def _base64(plain: bytes) -> Iterator[bytes]:
    """Yield what base64 has of these bytes wherever they begin in others: without the characters that share a byte."""
    for before in range(3):
        first, last = -(-8 * before // 6), 8 * (before + len(plain)) // 6
        for encode in (b64encode, urlsafe_b64encode):
            yield encode(bytes(before) + plain)[first:last]
