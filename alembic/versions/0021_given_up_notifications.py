"""Notifications that are given up, and those that others stand for.

Revision ID: 0021
Revises: 0020
"""

import sqlalchemy as sa
from alembic import op

from rota.db.types import Instant

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_CHECK = "ck_notification_given_up_is_done"
_IS_DONE = "given_up_at IS NULL OR (sent_at IS NULL AND not_before IS NULL)"


def upgrade() -> None:
    _add_given_up()
    op.add_column(
        "notification", sa.Column("omitted", sa.Integer(), nullable=False, server_default="0")
    )
    for name, columns, condition in (
        ("given_up", ["given_up_at"], "given_up_at IS NOT NULL"),
        ("waiting", ["task_id", "kind", "id"], "not_before IS NOT NULL"),
    ):
        present = sa.text(condition)
        op.create_index(
            f"ix_notification_{name}",
            "notification",
            columns,
            sqlite_where=present,
            postgresql_where=present,
        )


def downgrade() -> None:
    op.drop_index("ix_notification_waiting", "notification")
    op.drop_index("ix_notification_given_up", "notification")
    op.execute("DELETE FROM notification WHERE given_up_at IS NOT NULL")
    op.drop_column("notification", "omitted")
    if op.get_bind().dialect.name != "sqlite":
        op.drop_constraint(op.f(_CHECK), "notification", type_="check")
    op.drop_column("notification", "given_up_at")


def _add_given_up() -> None:
    if op.get_bind().dialect.name == "sqlite":
        # With its check: to add that later, all rows would have to be copied.
        text = Instant().compile(op.get_bind().dialect)
        op.execute(
            f"ALTER TABLE notification ADD COLUMN given_up_at {text} CONSTRAINT {_CHECK} CHECK ({_IS_DONE})"
        )
        return
    op.add_column("notification", sa.Column("given_up_at", Instant(), nullable=True))
    op.create_check_constraint(op.f(_CHECK), "notification", _IS_DONE)
