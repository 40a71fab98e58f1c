import pytest

from tests.support.databases import ENGINES

#: Runs on SQLite and on PostgreSQL.
on_both = pytest.mark.parametrize("database_engine", ENGINES, indirect=True)
#: Uses the same service as the others of its file that have this mark: it leaves nothing that they could notice.
shares_service = pytest.mark.shares_service
