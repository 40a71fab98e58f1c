import pytest

from tests.support.databases import ENGINES

#: Runs on SQLite and on PostgreSQL.
on_both = pytest.mark.parametrize("database_engine", ENGINES, indirect=True)
