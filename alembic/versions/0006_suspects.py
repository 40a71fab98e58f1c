"""An index of the runs that were lost with their process before, which are claimed by themselves.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A request has no code of its own that could end a process: what was lost of these is not suspected.
    op.execute("UPDATE run SET lost_count = 0 WHERE handler = 'http' AND lost_count > 0")
    condition = sa.text("status = 'queued' AND not_before IS NULL AND lost_count > 0")
    op.create_index(
        "ix_run_suspect",
        "run",
        ["queue"],
        sqlite_where=condition,
        postgresql_where=condition,
    )


def downgrade() -> None:
    op.drop_index("ix_run_suspect", "run")
