"""Which sealed values cannot be opened with the keys that are set: all of them are tried."""

from collections.abc import Iterator

from sqlalchemy import Connection, select

from rota.db.encryption import keyring_of
from rota.db.tables import kv, kv_history
from rota.errors import Sealed
from rota.store.sealing import sealed_values
from rota.store.sealing.header_rotation import header_keys
from rota.store.sealing.input_rotation import earlier_keys

_AT_A_TIME = 500
_NEEDED = ("task_id", "key", "value", "sealed_with", "version", "content_type")


def missing_keys(connection: Connection) -> list[str]:
    """Return the ids of keys that stored values need and that are not set."""
    keyring = keyring_of(connection)
    used = {
        *sealed_values.keys_in_use(connection),
        *earlier_keys(connection),
        *header_keys(connection),
    }
    return sorted(each for each in used if keyring is None or each not in keyring)


def unreadable_values(connection: Connection) -> Iterator[str]:
    """Yield what is wrong with each kv value, present or kept as history, that does not open."""
    for table in (kv, kv_history):
        columns = [table.c[name] for name in _NEEDED]
        sealed = select(*columns).where(table.c.sealed_with.is_not(None))
        rows = connection.execute(sealed.execution_options(yield_per=_AT_A_TIME))
        for row in rows:
            try:
                sealed_values.open_value(connection, row)
            except Sealed as error:
                yield error.detail
