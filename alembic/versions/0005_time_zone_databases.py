"""The time zone database that stored fire times are computed with, and that of each replica.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

from rota.db.types import Instant

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "zone_release",
        sa.Column("release", sa.String(64), nullable=False),
        sa.Column("since", Instant(), nullable=True),
        sa.Column("mixed", sa.Boolean(), nullable=False),
        sa.Column("files", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("release", name=op.f("pk_zone_release")),
    )
    op.add_column("replica", sa.Column("zone_release", sa.String(64), nullable=True))


def downgrade() -> None:
    op.drop_column("replica", "zone_release")
    op.drop_table("zone_release")
