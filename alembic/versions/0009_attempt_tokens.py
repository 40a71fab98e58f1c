"""Tokens of attempts that go on outside of Rota, and an index of when these end.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

from rota.db.types import Instant, StoredId

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "attempt_token",
        sa.Column("run_id", StoredId(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("kv_revision", sa.BigInteger(), nullable=False),
        sa.Column("deadline_at", Instant(), nullable=False),
        sa.Column("silence_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["run_id"], ["run.id"], name=op.f("fk_attempt_token_run_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "attempt", name=op.f("pk_attempt_token")),
    )
    condition = sa.text("lease_token_hash IS NOT NULL")
    op.create_index(
        "ix_run_leased",
        "run",
        ["lease_expires_at"],
        sqlite_where=condition,
        postgresql_where=condition,
    )


def downgrade() -> None:
    op.drop_index("ix_run_leased", "run")
    op.drop_table("attempt_token")
