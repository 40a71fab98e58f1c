"""A note that all values are encrypted, so that none in plain is taken from then on.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

from rota.db.types import Instant

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sealing_note",
        sa.Column(
            "sealed_with",
            sa.String(32).with_variant(sa.String(32, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("noted_at", Instant(), nullable=False),
        sa.Column("proof", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("sealed_with", name=op.f("pk_sealing_note")),
    )


def downgrade() -> None:
    op.drop_table("sealing_note")
