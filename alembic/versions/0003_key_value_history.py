"""What the key-value table needs: sizes and their sums, and what entries were before.

Revision ID: 0003
Revises: 0002
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from app.db.types import Instant

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


def downgrade() -> None:
    op.drop_table("kv_history")
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
        sa.Column("value", sa.LargeBinary(), nullable=True),
        sa.Column("content_type", sa.String(255), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("updated_by", sa.String(), nullable=False),
        sa.Column("expires_at", Instant(), nullable=True),
        sa.CheckConstraint("version > 0", name=op.f("ck_kv_history_version")),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_kv_history_task_id")),
        sa.PrimaryKeyConstraint("task_id", "key", "version", name=op.f("pk_kv_history")),
    )
