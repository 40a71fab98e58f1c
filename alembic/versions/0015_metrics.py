"""Indexes for the metrics: a scrape must not read whole tables.

Revision ID: 0015
Revises: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_INDEXES = (
    ("ix_task_by_name", "task", ["name", "status", "deleted_at"], "deleted_at IS NULL"),
    (
        "ix_task_failing",
        "task",
        ["consecutive_failures"],
        "consecutive_failures > 0 AND status = 'active'",
    ),
    ("ix_run_blocked", "run", ["queue"], "status = 'blocked'"),
)


def upgrade() -> None:
    for name, table, columns, condition in _INDEXES:
        where = sa.text(condition)
        op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    for name, table, _columns, _condition in reversed(_INDEXES):
        op.drop_index(name, table)
