"""Why a bulk operation has ended without a request.

Revision ID: 0024
Revises: 0023
"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("bulk", sa.Column("reason", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("bulk", "reason")
