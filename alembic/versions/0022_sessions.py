"""Sessions of the dashboard.

Revision ID: 0022
Revises: 0021
"""

import sqlalchemy as sa
from alembic import op

from rota.db.types import Instant

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    key_id = sa.String(12).with_variant(sa.String(12, collation="C"), "postgresql")
    op.create_table(
        "session",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("principal", sa.String(200), nullable=False),
        sa.Column("key_id", key_id, nullable=True),
        sa.Column("key_digest", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("expires_at", Instant(), nullable=False),
        sa.Column("address", sa.String(64), nullable=True),
        sa.Column("browser", sa.String(200), nullable=True),
        sa.CheckConstraint("(key_id IS NULL) = (key_digest IS NULL)", name=op.f("ck_session_key")),
        sa.CheckConstraint("expires_at > created_at", name=op.f("ck_session_lasts")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_session")),
    )
    op.create_index("ix_session_principal", "session", ["principal"])


def downgrade() -> None:
    op.drop_table("session")
