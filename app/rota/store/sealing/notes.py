"""The note that all is sealed. From then on plain values, and values in the first format, are refused.

The note is itself sealed, so that it cannot be written without a key. Write access to the database is enough to remove
it; a process that has read the note does not accept plain values again.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from rota.db.command import Command, Transaction
from rota.db.encryption import keyring_of, missing_key
from rota.db.tables import sealing_note
from rota.domain.primitives.ids import Id

_PLACE = "note that all is encrypted"
_NO_OWNER = Id("00000000-0000-0000-0000-000000000000")
_PROOF = b"nothing is in plain"


@dataclass(frozen=True, slots=True)
class NoteSealed(Command[None]):
    """Note, under the first key, that all is sealed."""

    def apply(self, tx: Transaction) -> None:
        keyring = keyring_of(tx.connection)
        if keyring is None or noted_with(tx.connection) == {keyring.first}:
            return
        tx.connection.execute(delete(sealing_note))
        insert = (sqlite if tx.is_sqlite else postgresql).insert(sealing_note)
        proof = keyring.seal(_NO_OWNER, _PLACE, _PROOF)
        tx.connection.execute(
            # Another replica may be about to do the same.
            insert.values(
                sealed_with=keyring.first, noted_at=tx.now, proof=proof
            ).on_conflict_do_nothing()
        )


def noted_with(connection: Connection) -> set[str]:
    """Return the ids of the keys that the note is sealed with: none, if there is none."""
    return set(connection.execute(select(sealing_note.c.sealed_with)).scalars())


def enforce_note(connection: Connection) -> None:
    """Take nothing that is not sealed from now on, if the note is there. Raises Sealed if it does not open."""
    keyring = keyring_of(connection)
    for row in connection.execute(select(sealing_note)):
        if keyring is None:
            raise missing_key(row.sealed_with)
        keyring.open(row.sealed_with, _NO_OWNER, _PLACE, row.proof)
        keyring.strict = True
