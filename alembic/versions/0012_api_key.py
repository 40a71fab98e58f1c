"""API keys.

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op

from rota.db.types import Instant

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_ID = sa.String(12).with_variant(sa.String(12, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "api_key",
        sa.Column("id", _ID, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("previous_digest", sa.LargeBinary, nullable=True),
        sa.Column("previous_until", Instant(), nullable=True),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("tasks", sa.Text, nullable=True),
        sa.Column("queues", sa.Text, nullable=True),
        sa.Column("rate", sa.Float, nullable=True),
        sa.Column("max_tasks", sa.Integer, nullable=True),
        sa.Column("max_unfinished_runs", sa.Integer, nullable=True),
        sa.Column("expires_at", Instant(), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("created_by", sa.String, nullable=False),
        sa.Column("rotated_at", Instant(), nullable=True),
        sa.Column("last_used_at", Instant(), nullable=True),
        sa.Column("revoked_at", Instant(), nullable=True),
        sa.Column("revoked_by", sa.String, nullable=True),
        sa.CheckConstraint("version > 0", name=op.f("ck_api_key_version")),
        sa.CheckConstraint("rate > 0", name=op.f("ck_api_key_rate")),
        sa.CheckConstraint("max_tasks > 0", name=op.f("ck_api_key_max_tasks")),
        sa.CheckConstraint("max_unfinished_runs > 0", name=op.f("ck_api_key_max_unfinished_runs")),
        sa.CheckConstraint(
            "(previous_digest IS NULL) = (previous_until IS NULL)",
            name=op.f("ck_api_key_previous_ends"),
        ),
        sa.CheckConstraint(
            "(revoked_at IS NULL) = (revoked_by IS NULL)", name=op.f("ck_api_key_revoked_by")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
    )


def downgrade() -> None:
    op.drop_table("api_key")
