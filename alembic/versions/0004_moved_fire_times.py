"""When a fire time comes that was moved: others may come before it, and it is remembered after it has fired.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

from rota.db.types import Instant

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("task", sa.Column("moved_to_at", Instant(), nullable=True))
    # Until now the moved one was always the next to fire; that of a task with nothing else to fire overrode itself.
    op.execute("UPDATE task SET moved_to_at = next_fire_at WHERE overrides_at IS NOT NULL")
    op.execute("UPDATE task SET overrides_at = NULL WHERE overrides_at = moved_to_at")


def downgrade() -> None:
    # What has fired is forgotten, and where others come first, the moved one comes in place of them.
    op.execute(
        "UPDATE task SET overrides_at = NULL WHERE next_fire_at IS NULL OR next_fire_at > moved_to_at"
    )
    op.execute(
        "UPDATE task SET next_fire_at = moved_to_at, overrides_at = coalesce(overrides_at, moved_to_at)"
        " WHERE next_fire_at <= moved_to_at"
    )
    op.drop_column("task", "moved_to_at")
