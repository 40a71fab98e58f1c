import pytest

from tests.databases import ENGINES

#: Runs on SQLite and on PostgreSQL.
on_both = pytest.mark.parametrize("database_engine", ENGINES, indirect=True)
