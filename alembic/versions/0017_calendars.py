"""Calendars of excluded days, and the tasks that use them.

Revision ID: 0017
Revises: 0016
"""

import sqlalchemy as sa
from alembic import op

from rota.db.types import Instant, StoredId

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

# Any id: that of the first change replaces it.
_FIRST = "00000000-0000-7000-8000-000000000000"


def upgrade() -> None:
    name = sa.String(128).with_variant(sa.String(128, collation="C"), "postgresql")
    op.create_table(
        "calendar",
        sa.Column("id", StoredId(), nullable=False),
        sa.Column("name", name, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("days", sa.Text(), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("revision", StoredId(), nullable=False),
        sa.Column("replans", sa.Boolean(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("updated_by", sa.String(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('dates', 'holidays', 'icalendar')", name=op.f("ck_calendar_kind")
        ),
        sa.CheckConstraint("(days IS NULL) = (kind = 'holidays')", name=op.f("ck_calendar_days")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calendar")),
    )
    op.create_index("uq_calendar_name", "calendar", ["name"], unique=True)
    op.create_table(
        "task_calendar",
        sa.Column("task_id", StoredId(), nullable=False),
        sa.Column("calendar_id", StoredId(), nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_task_calendar_task_id")),
        sa.ForeignKeyConstraint(
            ["calendar_id"], ["calendar.id"], name=op.f("fk_task_calendar_calendar_id")
        ),
        sa.PrimaryKeyConstraint("task_id", "calendar_id", name=op.f("pk_task_calendar")),
    )
    op.create_index("ix_task_calendar_calendar_id", "task_calendar", ["calendar_id"])
    state = op.create_table(
        "calendar_state",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("revision", StoredId(), nullable=False),
        sa.Column("holidays", sa.String(32), nullable=True),
        sa.CheckConstraint("id = 1", name=op.f("ck_calendar_state_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calendar_state")),
    )
    op.bulk_insert(state, [{"id": 1, "revision": _FIRST, "holidays": None}])


def downgrade() -> None:
    op.drop_table("calendar_state")
    op.drop_table("task_calendar")
    op.drop_table("calendar")
