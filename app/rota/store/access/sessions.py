"""Sessions of the dashboard: begun, found, ended."""

from dataclasses import dataclass, field

from sqlalchemy import Connection, delete, insert, select

from rota.db.command import Command, Transaction
from rota.db.tables import session
from rota.domain.access.keys import KeyId
from rota.domain.access.session import LIFETIME, MOST_SESSIONS, Session


@dataclass(frozen=True, slots=True, kw_only=True)
class BeginSession(Command[None]):
    """Begin a session; remove those that are over, and the oldest of the same client beyond MOST_SESSIONS."""

    digest: bytes = field(repr=False)
    principal: str
    key_id: KeyId | None
    key_digest: bytes | None = field(repr=False)
    address: str | None
    browser: str | None

    def apply(self, tx: Transaction) -> None:
        tx.connection.execute(delete(session).where(session.c.expires_at <= tx.now))
        row = {
            "digest": self.digest,
            "principal": self.principal,
            "key_id": self.key_id,
            "key_digest": self.key_digest,
            "created_at": tx.now,
            "expires_at": tx.now + LIFETIME,
            "address": self.address,
            "browser": self.browser,
        }
        tx.connection.execute(insert(session), row)
        _end_surplus(tx, self.principal)


def _end_surplus(tx: Transaction, principal: str) -> None:
    of_client = session.c.principal == principal
    newest_first = select(session.c.digest).where(of_client).order_by(session.c.created_at.desc())
    surplus = list(tx.connection.execute(newest_first.offset(MOST_SESSIONS)).scalars())
    if surplus:
        tx.connection.execute(delete(session).where(session.c.digest.in_(surplus)))


@dataclass(frozen=True, slots=True)
class EndSession(Command[int]):
    """End one session; return how many there were."""

    digest: bytes = field(repr=False)

    def apply(self, tx: Transaction) -> int:
        ended = tx.connection.execute(delete(session).where(session.c.digest == self.digest))
        return ended.rowcount


@dataclass(frozen=True, slots=True)
class EndSessions(Command[int]):
    """End all sessions of a client; return how many there were."""

    principal: str

    def apply(self, tx: Transaction) -> int:
        ended = tx.connection.execute(delete(session).where(session.c.principal == self.principal))
        return ended.rowcount


def find_session(connection: Connection, digest: bytes) -> Session | None:
    """Return a session by the digest of its token, also one that is over; None if there is none."""
    found = connection.execute(select(session).where(session.c.digest == digest)).one_or_none()
    if found is None:
        return None
    return Session(
        principal=found.principal,
        key_id=None if found.key_id is None else KeyId(found.key_id),
        key_digest=found.key_digest,
        created_at=found.created_at,
        expires_at=found.expires_at,
    )
