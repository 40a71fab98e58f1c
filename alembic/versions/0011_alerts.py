"""Alerts and notifications.

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

from rota.db.types import Instant, StoredId

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_KINDS = (
    "kind IN ('failure_rate', 'failures', 'late', 'no_ping', 'no_success', 'skipped', 'success')"
)


def _name(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "alert",
        sa.Column("task_id", StoredId(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("raised_at", Instant(), nullable=False),
        sa.Column("run_id", StoredId(), nullable=True),
        sa.CheckConstraint(_KINDS, name=op.f("ck_alert_kind")),
        sa.ForeignKeyConstraint(
            ["task_id"], ["task.id"], name=op.f("fk_alert_task_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("task_id", "kind", name=op.f("pk_alert")),
    )
    op.create_table(
        "notification",
        sa.Column("id", StoredId(), nullable=False),
        sa.Column("task_id", StoredId(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("caused_by", StoredId(), nullable=True),
        sa.Column("notifies", _name(128), nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("run_id", StoredId(), nullable=True),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("not_before", Instant(), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("sent_at", Instant(), nullable=True),
        sa.CheckConstraint(_KINDS, name=op.f("ck_notification_kind")),
        sa.CheckConstraint(
            "sent_at IS NULL OR not_before IS NULL", name=op.f("ck_notification_sent_is_done")
        ),
        sa.ForeignKeyConstraint(
            ["task_id"], ["task.id"], name=op.f("fk_notification_task_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notification")),
    )
    op.create_index("ix_notification_task", "notification", ["task_id", "id"])
    for name, column in (("run", "run_id"), ("pending", "not_before"), ("sent", "sent_at")):
        present = sa.text(f"{column} IS NOT NULL")
        op.create_index(
            f"ix_notification_{name}",
            "notification",
            [column],
            sqlite_where=present,
            postgresql_where=present,
        )
    success = sa.text("kind = 'success'")
    op.create_index(
        "uq_notification_success",
        "notification",
        ["caused_by"],
        unique=True,
        sqlite_where=success,
        postgresql_where=success,
    )
    op.add_column(
        "task", sa.Column("has_alerts", sa.Boolean(), nullable=False, server_default=sa.false())
    )


def downgrade() -> None:
    op.drop_column("task", "has_alerts")
    op.drop_table("notification")
    op.drop_table("alert")
