"""Bulk operations on runs: previews, the runs that they select, and a result for each.

Revision ID: 0018
Revises: 0017
"""

import sqlalchemy as sa
from alembic import op

from rota.db.types import Instant, StoredId

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_bulk()
    op.create_table(
        "bulk_selection",
        sa.Column("bulk_id", StoredId(), nullable=False),
        sa.Column("first", sa.Integer(), nullable=False),
        sa.Column("run_ids", sa.LargeBinary(), nullable=False),
        sa.Column("ended", sa.Text(), nullable=False),
        sa.CheckConstraint("first >= 0", name=op.f("ck_bulk_selection_first")),
        sa.ForeignKeyConstraint(
            ["bulk_id"], ["bulk.id"], name=op.f("fk_bulk_selection_bulk_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("bulk_id", "first", name=op.f("pk_bulk_selection")),
    )
    _create_items()


def downgrade() -> None:
    op.drop_table("bulk_item")
    op.drop_table("bulk_selection")
    op.drop_table("bulk")


def _create_bulk() -> None:
    op.create_table(
        "bulk",
        sa.Column("id", StoredId(), nullable=False),
        sa.Column("verb", sa.String(16), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("selector", sa.Text(), nullable=False),
        sa.Column("prefixes", sa.Text(), nullable=True),
        sa.Column("input", sa.Text(), nullable=True),
        sa.Column("max_concurrent", sa.Integer(), nullable=True),
        sa.Column("traceparent", sa.String(55), nullable=True),
        sa.Column("runs", sa.Integer(), nullable=False),
        sa.Column("truncated", sa.Boolean(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("statuses", sa.Text(), nullable=False),
        sa.Column("foreseen", sa.Text(), nullable=False),
        sa.Column("quota", sa.Text(), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("expires_at", Instant(), nullable=False),
        sa.Column("confirmed_at", Instant(), nullable=True),
        sa.Column("confirmed_by", sa.String(), nullable=True),
        sa.Column("finished_at", Instant(), nullable=True),
        *(
            sa.CheckConstraint(condition, name=op.f(f"ck_bulk_{name}"))
            for name, condition in _CHECKS.items()
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bulk")),
    )
    is_running = sa.text("status = 'running'")
    op.create_index(
        "ix_bulk_running", "bulk", ["id"], sqlite_where=is_running, postgresql_where=is_running
    )
    op.create_index("ix_bulk_created_at", "bulk", ["created_at"])


def _create_items() -> None:
    name = sa.String(128).with_variant(sa.String(128, collation="C"), "postgresql")
    op.create_table(
        "bulk_item",
        sa.Column("bulk_id", StoredId(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("run_id", StoredId(), nullable=False),
        sa.Column("task", name, nullable=True),
        sa.Column("result", sa.String(16), nullable=False),
        sa.Column("problem", sa.String(64), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("new_run_id", StoredId(), nullable=True),
        sa.CheckConstraint(
            "result IN ('changed', 'done', 'refused')", name=op.f("ck_bulk_item_result")
        ),
        sa.CheckConstraint(
            "(result = 'refused') = (problem IS NOT NULL)",
            name=op.f("ck_bulk_item_refused_has_problem"),
        ),
        sa.CheckConstraint(
            "new_run_id IS NULL OR result = 'done'", name=op.f("ck_bulk_item_new_run_is_done")
        ),
        sa.ForeignKeyConstraint(
            ["bulk_id"], ["bulk.id"], name=op.f("fk_bulk_item_bulk_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("bulk_id", "position", name=op.f("pk_bulk_item")),
    )
    op.create_index("ix_bulk_item_result", "bulk_item", ["bulk_id", "result", "position"])
    has_new = sa.text("new_run_id IS NOT NULL")
    op.create_index(
        "ix_bulk_item_new_run",
        "bulk_item",
        ["new_run_id"],
        sqlite_where=has_new,
        postgresql_where=has_new,
    )


_CHECKS = {
    "verb": "verb IN ('cancel', 'delete', 'rerun')",
    "status": "status IN ('cancelled', 'finished', 'previewed', 'running')",
    "ended_is_finished": "(status IN ('cancelled', 'finished')) = (finished_at IS NOT NULL)",
    "confirmed": "status NOT IN ('finished', 'running') OR confirmed_at IS NOT NULL",
    "position": "position BETWEEN 0 AND runs",
    "finished_has_results": "status <> 'finished' OR position = runs",
    "preview_does_nothing": "status <> 'previewed' OR position = 0",
    "max_concurrent": "max_concurrent IS NULL OR max_concurrent > 0",
}
