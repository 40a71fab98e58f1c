"""The index by which the latest failures are found.

Revision ID: 0026
Revises: 0025
"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    failed = sa.text("status = 'failed'")
    op.create_index(
        "ix_run_failure", "run", ["finished_at"], sqlite_where=failed, postgresql_where=failed
    )


def downgrade() -> None:
    op.drop_index("ix_run_failure", table_name="run")
