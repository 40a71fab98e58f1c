"""Holds, and the tasks that are not looked at before one has ended.

Revision ID: 0016
Revises: 0015
"""

import sqlalchemy as sa
from alembic import op

from rota.db.types import Instant, StoredId

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    name = sa.String(128).with_variant(sa.String(128, collation="C"), "postgresql")
    op.create_table(
        "hold",
        sa.Column("id", StoredId(), nullable=False),
        sa.Column("name", name, nullable=False),
        sa.Column("selector", sa.Text(), nullable=False),
        sa.Column("prefixes", sa.Text(), nullable=True),
        sa.Column("starts_at", Instant(), nullable=False),
        sa.Column("ends_at", Instant(), nullable=True),
        sa.Column("fire_times", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("updated_by", sa.String(), nullable=False),
        sa.Column("closed_at", Instant(), nullable=True),
        sa.CheckConstraint("fire_times IN ('catch_up', 'skip')", name=op.f("ck_hold_fire_times")),
        sa.CheckConstraint("ends_at IS NULL OR ends_at > starts_at", name=op.f("ck_hold_span")),
        sa.CheckConstraint(
            "closed_at IS NULL OR ends_at IS NOT NULL", name=op.f("ck_hold_closed_has_ended")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hold")),
    )
    is_open = sa.text("closed_at IS NULL")
    op.create_index(
        "uq_hold_name",
        "hold",
        ["name"],
        unique=True,
        sqlite_where=is_open,
        postgresql_where=is_open,
    )
    op.add_column("task", sa.Column("deferred_until", Instant(), nullable=True))
    _replace_due_index(" AND deferred_until IS NULL")
    deferred = sa.text("deferred_until IS NOT NULL")
    op.create_index(
        "ix_task_deferred",
        "task",
        ["deferred_until", "id"],
        sqlite_where=deferred,
        postgresql_where=deferred,
    )
    held = sa.text("status = 'blocked' AND waiting_on = '[\"hold\"]'")
    op.create_index("ix_run_held", "run", ["id"], sqlite_where=held, postgresql_where=held)


def downgrade() -> None:
    op.drop_index("ix_run_held", "run")
    op.drop_index("ix_task_deferred", "task")
    _replace_due_index("")
    op.drop_column("task", "deferred_until")
    op.drop_index("uq_hold_name", "hold")
    op.drop_table("hold")


def _replace_due_index(further: str) -> None:
    op.drop_index("ix_task_due", "task")
    due = sa.text(f"status = 'active' AND next_fire_at IS NOT NULL{further}")
    op.create_index("ix_task_due", "task", ["next_fire_at"], sqlite_where=due, postgresql_where=due)
