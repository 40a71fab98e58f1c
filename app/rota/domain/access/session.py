"""Sessions of the dashboard: a browser that has signed in with an API key."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from secrets import token_urlsafe
from typing import Final

from rota.domain.access.keys import KeyId

#: How long a session lasts from its sign-in.
LIFETIME: Final = timedelta(days=7)
#: Sessions of one client; beyond them the oldest end.
MOST_SESSIONS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session: the key that it was signed in with. Whether that is still accepted is asked at each request."""

    #: `idempotency_scope` of the client: the same for a key of ROTA_API_KEY after a restart.
    principal: str
    #: The stored key and the digest of its secret; None for a key of ROTA_API_KEY.
    key_id: KeyId | None
    key_digest: bytes | None = field(repr=False)
    created_at: datetime
    expires_at: datetime


def new_token() -> str:
    """Return a random token for a cookie: 256 bits."""
    return token_urlsafe(32)


def digest_of(token: str) -> bytes:
    """Return what is stored of a token."""
    return sha256(token.encode()).digest()
