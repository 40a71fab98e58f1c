"""The first schema: tasks, runs with their attempts and logs, kv, replicas and their leases.

Revision ID: 0001
Revises:
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from rota.db.types import Instant

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _name(length: int) -> Any:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def upgrade() -> None:
    _create_handler()
    _create_idempotency()
    _create_replica()
    _create_task()
    _create_kv()
    _create_run()
    _create_task_tag()
    _create_attempt()
    _create_run_log()


def downgrade() -> None:
    for table in (
        "run_log",
        "attempt",
        "task_tag",
        "run",
        "kv",
        "task",
        "replica",
        "idempotency",
        "handler",
    ):
        op.drop_table(table)


def _create_handler() -> None:
    op.create_table(
        "handler",
        sa.Column("name", _name(128), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("input_schema", sa.Text(), nullable=True),
        sa.Column("timeout", sa.Float(), nullable=True),
        sa.Column("isolation", sa.String(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_handler")),
    )


def _create_idempotency() -> None:
    op.create_table(
        "idempotency",
        sa.Column("key", _name(255), nullable=False),
        sa.Column("principal", _name(64), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("key", "principal", name=op.f("pk_idempotency")),
    )
    op.create_index("ix_idempotency_created_at", "idempotency", ["created_at"], unique=False)


def _create_replica() -> None:
    op.create_table(
        "replica",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("handlers", sa.Text(), nullable=False),
        sa.Column("started_at", Instant(), nullable=False),
        sa.Column("lease_expires_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replica")),
    )


def _create_task() -> None:
    op.create_table(
        "task",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", _name(128), nullable=False),
        sa.Column("handler", _name(128), nullable=False),
        sa.Column("queue", _name(128), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("input", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("status_reason", sa.Text(), nullable=True),
        sa.Column("status_changed_at", Instant(), nullable=False),
        sa.Column("status_changed_by", sa.String(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("anchored_at", Instant(), nullable=False),
        sa.Column("next_fire_at", Instant(), nullable=True),
        sa.Column("last_run_id", sa.Uuid(), nullable=True),
        sa.Column("last_success_at", Instant(), nullable=True),
        sa.Column("consecutive_failures", sa.Integer(), nullable=False),
        sa.Column("kv_revision", sa.BigInteger(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("deleted_at", Instant(), nullable=True),
        sa.CheckConstraint(
            "status <> 'active' OR deleted_at IS NULL", name=op.f("ck_task_deleted_is_inactive")
        ),
        sa.CheckConstraint(
            "status IN ('active', 'cancelled', 'completed', 'paused')", name=op.f("ck_task_status")
        ),
        sa.ForeignKeyConstraint(["handler"], ["handler.name"], name=op.f("fk_task_handler")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task")),
    )
    op.create_index(
        "ix_task_deleted", "task", ["deleted_at"], unique=False, **_where("deleted_at IS NOT NULL")
    )
    op.create_index(
        "ix_task_due",
        "task",
        ["next_fire_at"],
        unique=False,
        **_where("status = 'active' AND next_fire_at IS NOT NULL"),
    )
    op.create_index("uq_task_name", "task", ["name"], unique=True, **_where("deleted_at IS NULL"))


def _create_kv() -> None:
    op.create_table(
        "kv",
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("key", _name(255), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.Column("content_type", sa.String(length=255), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("updated_by", sa.String(), nullable=False),
        sa.Column("expires_at", Instant(), nullable=True),
        sa.CheckConstraint("version > 0", name=op.f("ck_kv_version")),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_kv_task_id")),
        sa.PrimaryKeyConstraint("task_id", "key", name=op.f("pk_kv")),
    )
    op.create_index(
        "ix_kv_expires_at", "kv", ["expires_at"], unique=False, **_where("expires_at IS NOT NULL")
    )


def _create_run() -> None:
    op.create_table(
        "run",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("task_generation", sa.Integer(), nullable=False),
        sa.Column("trigger", sa.String(length=16), nullable=False),
        sa.Column("rerun_of", sa.Uuid(), nullable=True),
        sa.Column("backfill_id", sa.Uuid(), nullable=True),
        sa.Column("scheduled_for", Instant(), nullable=False),
        sa.Column("scheduled_until", Instant(), nullable=True),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=True),
        sa.Column("waiting_on", sa.Text(), nullable=True),
        sa.Column("handler", _name(128), nullable=False),
        sa.Column("queue", _name(128), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("not_before", Instant(), nullable=True),
        sa.Column("input", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("progress", sa.Text(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("lost_count", sa.Integer(), nullable=False),
        sa.Column("conflict_count", sa.Integer(), nullable=False),
        sa.Column("holder", sa.Uuid(), nullable=True),
        sa.Column("lease_token_hash", sa.String(length=64), nullable=True),
        sa.Column("lease_expires_at", Instant(), nullable=True),
        sa.Column("cancel_requested_at", Instant(), nullable=True),
        sa.Column("cancel_reason", sa.String(length=32), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("first_started_at", Instant(), nullable=True),
        sa.Column("started_at", Instant(), nullable=True),
        sa.Column("finished_at", Instant(), nullable=True),
        sa.CheckConstraint(
            "(status IN ('cancelled', 'failed', 'skipped', 'succeeded')) = (finished_at IS NOT NULL)",
            name=op.f("ck_run_final_is_finished"),
        ),
        sa.CheckConstraint(
            "status <> 'running' OR (started_at IS NOT NULL AND attempt > 0"
            " AND (holder IS NULL) <> (lease_token_hash IS NULL))",
            name=op.f("ck_run_running_is_held"),
        ),
        sa.CheckConstraint(
            "status = 'running' OR (holder IS NULL AND lease_token_hash IS NULL)",
            name=op.f("ck_run_held_is_running"),
        ),
        sa.CheckConstraint(
            "status = 'succeeded' OR result IS NULL", name=op.f("ck_run_result_of_success")
        ),
        sa.CheckConstraint(
            "status IN ('blocked', 'cancelled', 'failed', 'queued', 'running', 'skipped', 'succeeded')",
            name=op.f("ck_run_status"),
        ),
        sa.CheckConstraint(
            "status NOT IN ('failed', 'cancelled', 'skipped') OR reason IS NOT NULL",
            name=op.f("ck_run_reason"),
        ),
        sa.CheckConstraint(
            "trigger IN ('after', 'backfill', 'manual', 'notification', 'rerun', 'schedule')",
            name=op.f("ck_run_trigger"),
        ),
        sa.CheckConstraint(
            "count > 0 AND (count = 1 OR scheduled_until IS NOT NULL)", name=op.f("ck_run_span")
        ),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_run_task_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
    )
    op.create_index(
        "ix_run_claim",
        "run",
        ["queue", sa.text("priority DESC"), "scheduled_for", "id"],
        unique=False,
        **_where("status = 'queued' AND not_before IS NULL"),
    )
    op.create_index(
        "ix_run_delayed",
        "run",
        ["not_before"],
        unique=False,
        **_where("status = 'queued' AND not_before IS NOT NULL"),
    )
    op.create_index(
        "ix_run_running", "run", ["holder"], unique=False, **_where("status = 'running'")
    )
    op.create_index("ix_run_scheduled_for", "run", ["scheduled_for", "id"], unique=False)
    op.create_index("ix_run_task", "run", ["task_id", "scheduled_for", "id"], unique=False)
    op.create_index(
        "ix_run_unfinished", "run", ["task_id"], unique=False, **_where("finished_at IS NULL")
    )
    op.create_index(
        "uq_run_task_scheduled_for",
        "run",
        ["task_id", "scheduled_for"],
        unique=True,
        **_where("trigger = 'schedule'"),
    )


def _create_task_tag() -> None:
    op.create_table(
        "task_tag",
        sa.Column("tag", _name(64), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["task_id"], ["task.id"], name=op.f("fk_task_tag_task_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tag", "task_id", name=op.f("pk_task_tag")),
    )
    op.create_index("ix_task_tag_task", "task_tag", ["task_id"], unique=False)


def _create_attempt() -> None:
    op.create_table(
        "attempt",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("counted", sa.Boolean(), nullable=False),
        sa.Column("started_at", Instant(), nullable=False),
        sa.Column("finished_at", Instant(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "outcome IN ('cancelled', 'conflict', 'failed', 'lost', 'released', 'retry', 'succeeded', 'timed_out')",
            name=op.f("ck_attempt_outcome"),
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["run.id"], name=op.f("fk_attempt_run_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "attempt", name=op.f("pk_attempt")),
    )


def _create_run_log() -> None:
    op.create_table(
        "run_log",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("level", sa.String(length=16), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["run.id"], name=op.f("fk_run_log_run_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "attempt", "line", name=op.f("pk_run_log")),
    )
