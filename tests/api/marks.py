import pytest

from tests.support.databases import ENGINES, postgresql_at_length

#: Runs on SQLite, and on PostgreSQL with the long tests (`make torture`).
on_both = postgresql_at_length
#: Runs on PostgreSQL in the default suite as well: what the statements of the route find differs by the database.
always_on_both = pytest.mark.parametrize("database_engine", ENGINES, indirect=True)
#: Uses the same service as the others of its file that have this mark: it leaves nothing that they could notice.
shares_service = pytest.mark.shares_service
