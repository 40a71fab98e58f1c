"""What schedules, policies and queues need: gaps, predecessors, queues, concurrency keys, constraints, backfills.

Revision ID: 0002
Revises: 0001
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from rota.db.types import Instant

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_RUN_INDEXES = {
    "ix_run_key_running": (
        ["concurrency_key"],
        "status = 'running' AND concurrency_key IS NOT NULL",
    ),
    "ix_run_key_queued": (
        ["queue", "concurrency_key"],
        "status = 'queued' AND not_before IS NULL AND concurrency_key IS NOT NULL",
    ),
    "ix_run_key_blocked": (
        ["concurrency_key", "queue", sa.text("priority DESC"), "scheduled_for", "id"],
        "status = 'blocked' AND waiting_on = '[\"concurrency\"]'",
    ),
    "ix_run_in_line": (
        ["task_id", "scheduled_for", "id"],
        "status = 'blocked' AND substr(waiting_on, 1, 10) = '[\"overlap:'",
    ),
    "ix_run_constrained": (["scheduled_for", "id"], "status = 'blocked' AND constrained"),
    "ix_run_backfill": (["backfill_id"], "backfill_id IS NOT NULL"),
}


def _name(length: int) -> Any:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def upgrade() -> None:
    _change_task()
    _change_run()
    _create_predecessor()
    _create_queue()
    _create_backfill()


def downgrade() -> None:
    for table in ("backfill", "queue", "predecessor"):
        op.drop_table(table)
    for index in _RUN_INDEXES:
        op.drop_index(index, "run")
    _create_running_index("holder")
    op.drop_index("ix_task_queue", "task")
    op.drop_index("ix_task_ended", "task")
    op.drop_index("ix_run_claim", "run")
    with op.batch_alter_table("run") as run:
        run.drop_constraint(op.f("ck_run_concurrency"), type_="check")
        for column in ("concurrency_key", "concurrency_limit", "constrained"):
            run.drop_column(column)
    _create_claim_index()
    with op.batch_alter_table("task") as task:
        task.drop_constraint(op.f("ck_task_gap"), type_="check")
        for column in (
            "fired",
            "fires_after_finish",
            "gap_run_id",
            "overrides_at",
            "gap_until",
            "gap_catch_up",
            "declared",
        ):
            task.drop_column(column)


def _change_task() -> None:
    with op.batch_alter_table("task") as task:
        task.add_column(_filled("fired", sa.Integer(), "0"))
        task.add_column(_filled("fires_after_finish", sa.Boolean(), sa.false()))
        task.add_column(sa.Column("gap_run_id", sa.Uuid(), nullable=True))
        task.add_column(sa.Column("overrides_at", Instant(), nullable=True))
        task.add_column(sa.Column("gap_until", Instant(), nullable=True))
        task.add_column(sa.Column("gap_catch_up", sa.String(8), nullable=True))
        task.add_column(_filled("declared", sa.Boolean(), sa.false()))
        task.create_check_constraint(
            op.f("ck_task_gap"), "(gap_until IS NULL) = (gap_catch_up IS NULL)"
        )
    _drop_defaults("task", "fired", "fires_after_finish", "declared")
    op.create_index("ix_task_queue", "task", ["queue"], **_where("deleted_at IS NULL"))
    op.create_index(
        "ix_task_ended",
        "task",
        ["status_changed_at"],
        **_where("status IN ('completed', 'cancelled') AND NOT declared"),
    )


def _change_run() -> None:
    # SQLite's table is copied for a change, and Alembic would make this index anew without its DESC.
    op.drop_index("ix_run_claim", "run")
    with op.batch_alter_table("run") as run:
        run.add_column(sa.Column("concurrency_key", _name(128), nullable=True))
        run.add_column(sa.Column("concurrency_limit", sa.Integer(), nullable=True))
        run.add_column(_filled("constrained", sa.Boolean(), sa.false()))
        run.create_check_constraint(
            op.f("ck_run_concurrency"),
            "(concurrency_key IS NULL) = (concurrency_limit IS NULL)"
            " AND (concurrency_limit IS NULL OR concurrency_limit > 0)",
        )
    _drop_defaults("run", "constrained")
    _create_claim_index()
    for name, (columns, condition) in _RUN_INDEXES.items():
        op.create_index(name, "run", columns, **_where(condition))
    _create_running_index("holder", "queue")
    _renew_unfinished_index()


def _create_running_index(*columns: str) -> None:
    """With the queue in it, the running ones of a queue are counted without an index of their own to keep."""
    op.drop_index("ix_run_running", "run")
    op.create_index("ix_run_running", "run", list(columns), **_where("status = 'running'"))


def _renew_unfinished_index() -> None:
    # The copied table has its indexes in any order, and of two that fit equally well SQLite takes the one made last:
    # with `ix_run_task` behind it, every look for the unfinished runs of a task would go through its whole history.
    op.drop_index("ix_run_unfinished", "run")
    op.create_index("ix_run_unfinished", "run", ["task_id"], **_where("finished_at IS NULL"))


def _create_claim_index() -> None:
    op.create_index(
        "ix_run_claim",
        "run",
        ["queue", sa.text("priority DESC"), "scheduled_for", "id"],
        **_where("status = 'queued' AND not_before IS NULL"),
    )


def _filled(name: str, kind: Any, default: Any) -> Any:
    """Return a column that rows which are there already get a value for."""
    return sa.Column(name, kind, nullable=False, server_default=default)


def _drop_defaults(table: str, *columns: str) -> None:
    with op.batch_alter_table(table) as altered:
        for column in columns:
            altered.alter_column(column, server_default=None)


def _create_predecessor() -> None:
    op.create_table(
        "predecessor",
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("name", _name(128), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(
            ["task_id"], ["task.id"], name=op.f("fk_predecessor_task_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("task_id", "name", name=op.f("pk_predecessor")),
    )
    op.create_index("ix_predecessor_name", "predecessor", ["name", "task_id"])


def _create_queue() -> None:
    op.create_table(
        "queue",
        sa.Column("name", _name(128), nullable=False),
        sa.Column("concurrency", sa.Integer(), nullable=True),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("updated_by", sa.String(), nullable=False),
        sa.CheckConstraint(
            "concurrency IS NULL OR concurrency > 0", name=op.f("ck_queue_concurrency")
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_queue")),
    )


def _create_backfill() -> None:
    op.create_table(
        "backfill",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("schedule", sa.Text(), nullable=False),
        sa.Column("anchored_at", Instant(), nullable=False),
        sa.Column("starts_at", Instant(), nullable=False),
        sa.Column("ends_at", Instant(), nullable=False),
        sa.Column("newest_first", sa.Boolean(), nullable=False),
        sa.Column("max_concurrent", sa.Integer(), nullable=False),
        sa.Column("spacing", sa.Float(), nullable=False),
        sa.Column("runs", sa.Integer(), nullable=False),
        sa.Column("made", sa.Integer(), nullable=False),
        sa.Column("next_at", Instant(), nullable=True),
        sa.Column("not_before", Instant(), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("finished_at", Instant(), nullable=True),
        sa.CheckConstraint("max_concurrent > 0", name=op.f("ck_backfill_max_concurrent")),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_backfill_task_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backfill")),
    )
    op.create_index("ix_backfill_task", "backfill", ["task_id"])
    op.create_index("ix_backfill_unfinished", "backfill", ["id"], **_where("finished_at IS NULL"))
