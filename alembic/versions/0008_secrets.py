"""Named secrets, sealed together with the servers and tasks that they are bound to.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

from rota.db.types import Instant, StoredId

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def _name(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "secret",
        sa.Column("name", _name(64), nullable=False),
        sa.Column("id", StoredId(), nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("origins", sa.Text, nullable=False),
        sa.Column("tasks", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=True),
        sa.Column("previous_until", Instant(), nullable=True),
        sa.Column("rotated_at", Instant(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("updated_by", sa.String, nullable=False),
        sa.Column("sealed_with", _name(32), nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.CheckConstraint("version > 0", name=op.f("ck_secret_version")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_secret")),
    )


def downgrade() -> None:
    op.drop_table("secret")
