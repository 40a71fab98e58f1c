"""What the key-value table needs (sizes, history, encryption), and the events of the service.

Revision ID: 0003
Revises: 0002
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from rota.clock import SystemClock
from rota.db.types import Instant

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def _name(length: int) -> Any:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    _add_sizes()
    _add_sums()
    _create_history()
    _create_events()
    _add_keys()
    _mark_what_is_not_known()


def downgrade() -> None:
    op.drop_table("event")
    op.drop_table("kv_history")
    op.drop_index("ix_kv_sealed_with", "kv")
    op.drop_column("kv", "sealed_with")
    op.drop_column("kv", "size")
    op.drop_column("task", "kv_entries")
    op.drop_column("task", "kv_bytes")


def _add_sizes() -> None:
    op.add_column("kv", sa.Column("size", sa.Integer(), nullable=False, server_default="0"))
    op.execute("UPDATE kv SET size = length(value)")


def _add_sums() -> None:
    op.add_column("task", sa.Column("kv_entries", sa.Integer(), nullable=False, server_default="0"))
    op.add_column(
        "task", sa.Column("kv_bytes", sa.BigInteger(), nullable=False, server_default="0")
    )
    op.execute(
        """
        UPDATE task SET
            kv_entries = (SELECT count(*) FROM kv WHERE kv.task_id = task.id AND substr(kv.key, 1, 1) <> '_'),
            kv_bytes = (SELECT coalesce(sum(kv.size), 0) FROM kv
                        WHERE kv.task_id = task.id AND substr(kv.key, 1, 1) <> '_')
        """
    )


def _create_history() -> None:
    op.create_table(
        "kv_history",
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("key", _name(255), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("content_type", sa.String(255), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("updated_by", sa.String(), nullable=False),
        sa.Column("expires_at", Instant(), nullable=True),
        sa.Column("value", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint("version > 0", name=op.f("ck_kv_history_version")),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_kv_history_task_id")),
        sa.PrimaryKeyConstraint("task_id", "key", "version", name=op.f("pk_kv_history")),
    )
    op.create_index("ix_kv_history_version", "kv_history", ["task_id", "version"])


def _create_events() -> None:
    op.create_table(
        "event",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("xid", sa.BigInteger(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("events", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
    )
    op.create_index("ix_event_position", "event", ["xid", "id"])


def _mark_what_is_not_known() -> None:
    """Note of each table that what was written to it before is not kept (see `store.kv.history.rows`)."""
    history = sa.table(
        "kv_history",
        *(sa.column(name) for name in ("task_id", "key", "version", "content_type", "size")),
        sa.column("updated_at", Instant()),
        sa.column("updated_by"),
    )
    task = sa.table("task", sa.column("id"), sa.column("kv_revision"))
    now = sa.literal(SystemClock().now(), Instant())
    marks = sa.select(
        task.c.id,
        sa.literal(""),
        task.c.kv_revision,
        sa.literal(""),
        sa.literal(0),
        now,
        sa.literal("rota"),
    ).where(task.c.kv_revision > 0)
    op.execute(history.insert().from_select([column.name for column in history.columns], marks))


def _add_keys() -> None:
    """Entries that are encrypted say with which key."""
    for table in ("kv", "kv_history"):
        op.add_column(table, sa.Column("sealed_with", _name(32), nullable=True))
        op.create_index(
            f"ix_{table}_sealed_with",
            table,
            ["sealed_with"],
            sqlite_where=sa.text("sealed_with IS NOT NULL"),
            postgresql_where=sa.text("sealed_with IS NOT NULL"),
        )
