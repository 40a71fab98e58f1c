"""Alerts that follow from time: when a task is looked at, when nobody looked, and runs that are pings.

Revision ID: 0014
Revises: 0013
"""

import sqlalchemy as sa
from alembic import op

from rota.db.types import Instant

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_WITHOUT_PING = "trigger IN ('after', 'backfill', 'manual', 'notification', 'rerun', 'schedule')"
_WITH_PING = (
    "trigger IN ('after', 'backfill', 'manual', 'notification', 'ping', 'rerun', 'schedule')"
)


def upgrade() -> None:
    _change_triggers(_WITHOUT_PING, _WITH_PING)
    for column in ("alert_check_at", "watched_from"):
        op.add_column("task", sa.Column(column, Instant(), nullable=True))
    condition = sa.text("alert_check_at IS NOT NULL")
    op.create_index(
        "ix_task_alert_check",
        "task",
        ["alert_check_at"],
        sqlite_where=condition,
        postgresql_where=condition,
    )
    op.create_table(
        "unwatched_span",
        sa.Column("ends_at", Instant(), nullable=False),
        sa.Column("starts_at", Instant(), nullable=False),
        sa.CheckConstraint("starts_at < ends_at", name=op.f("ck_unwatched_span_takes_time")),
        sa.PrimaryKeyConstraint("ends_at", name=op.f("pk_unwatched_span")),
    )
    op.create_table(
        "alert_watch",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("looked_at", Instant(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_alert_watch_only")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_watch")),
    )


def downgrade() -> None:
    op.drop_table("alert_watch")
    op.drop_table("unwatched_span")
    op.drop_index("ix_task_alert_check", "task")
    for column in ("watched_from", "alert_check_at"):
        op.drop_column("task", column)
    op.execute("UPDATE run SET trigger = 'manual' WHERE trigger = 'ping'")
    _change_triggers(_WITH_PING, _WITHOUT_PING)


def _change_triggers(before: str, after: str) -> None:
    if op.get_bind().dialect.name == "sqlite":
        _replace_check(before, after)
        return
    op.drop_constraint(op.f("ck_run_trigger"), "run", type_="check")
    op.create_check_constraint(op.f("ck_run_trigger"), "run", after)


def _replace_check(before: str, after: str) -> None:
    """Replace the condition in the stored schema: Alembic would copy all runs, and each of their indexes.

    What SQLite's documentation of ALTER TABLE describes for changes that leave the content as it is ("the following
    simpler and faster procedure").
    """
    connection = op.get_bind()
    version = connection.execute(sa.text("PRAGMA schema_version")).scalar_one()
    connection.execute(sa.text("PRAGMA writable_schema = ON"))
    changed = connection.execute(
        sa.text(
            "UPDATE sqlite_schema SET sql = replace(sql, :before, :after)"
            " WHERE type = 'table' AND name = 'run' AND instr(sql, :before) > 0"
        ),
        {"before": before, "after": after},
    ).rowcount
    if changed != 1:
        raise RuntimeError("The table of runs has no check of their triggers that can be changed.")
    connection.execute(sa.text(f"PRAGMA schema_version = {version + 1}"))
    connection.execute(sa.text("PRAGMA writable_schema = RESET"))
