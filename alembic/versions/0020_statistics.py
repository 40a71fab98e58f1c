"""Statistics: what was removed, the spans that reach over the edge of a window, and the last failure of a task.

What was removed before is not known. So the history of each task counts as complete from its first run that is kept.

Revision ID: 0020
Revises: 0019
"""

import sqlalchemy as sa
from alembic import op

from rota.db.types import Instant, StoredId

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_FIRST_KEPT = """
INSERT INTO removed_runs (task_id, until_at)
SELECT run.task_id, min(run.scheduled_for) FROM run GROUP BY run.task_id
"""


def upgrade() -> None:
    op.create_table(
        "removed_runs",
        sa.Column("task_id", StoredId(), nullable=False),
        sa.Column("until_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_removed_runs")),
    )
    op.execute(_FIRST_KEPT)
    spans, failed = sa.text("scheduled_until IS NOT NULL"), sa.text("status = 'failed'")
    op.create_index(
        "ix_run_span",
        "run",
        ["task_id", "scheduled_until", "scheduled_for"],
        sqlite_where=spans,
        postgresql_where=spans,
    )
    op.create_index(
        "ix_run_failed",
        "run",
        ["task_id", "finished_at"],
        sqlite_where=failed,
        postgresql_where=failed,
    )


def downgrade() -> None:
    op.drop_index("ix_run_failed", "run")
    op.drop_index("ix_run_span", "run")
    op.drop_table("removed_runs")
