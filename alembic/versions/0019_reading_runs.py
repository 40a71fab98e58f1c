"""Reading runs: the type of the error of a run as a column, chains of runs, and indexes for lists.

Revision ID: 0019
Revises: 0018
"""

import sqlalchemy as sa
from alembic import op

from rota.db.types import StoredId

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

# An error is stored as `{"type":"…",…`: what is between the third and the fourth quotation mark.
_TYPE = {
    "sqlite": "substr(substr(error, 10), 1, min(128, instr(substr(error, 10), '\"') - 1))",
    "postgresql": "left(split_part(error, '\"', 4), 128)",
}


def upgrade() -> None:
    name = sa.String(128).with_variant(sa.String(128, collation="C"), "postgresql")
    op.add_column("run", sa.Column("error_type", name, nullable=True))
    op.add_column("run", sa.Column("chain_id", StoredId(), nullable=True))
    found = _TYPE[op.get_bind().dialect.name]
    op.execute(f'UPDATE run SET error_type = {found} WHERE error LIKE \'{{"type":"%\'')  # noqa: S608
    op.create_table(
        "run_link",
        sa.Column("fed_id", StoredId(), nullable=False),
        sa.Column("feeding_id", StoredId(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.CheckConstraint(
            "kind IN ('after', 'notification', 'registration', 'rerun')",
            name=op.f("ck_run_link_kind"),
        ),
        sa.CheckConstraint("fed_id <> feeding_id", name=op.f("ck_run_link_of_two_runs")),
        sa.ForeignKeyConstraint(
            ["fed_id"], ["run.id"], name=op.f("fk_run_link_fed_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("fed_id", "feeding_id", name=op.f("pk_run_link")),
    )
    op.create_index("ix_run_link_feeding", "run_link", ["feeding_id"])
    op.execute(_RERUNS)
    for table, index, columns, condition in _INDEXES:
        where = sa.text(condition)
        op.create_index(index, table, columns, sqlite_where=where, postgresql_where=where)
    if op.get_bind().dialect.name == "postgresql":
        # These follow from each other; taken for independent, they would seem to be of hardly any run.
        op.execute("CREATE STATISTICS st_run_ends (mcv) ON status, reason, error_type FROM run")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP STATISTICS st_run_ends")
    for table, index, *_ in reversed(_INDEXES):
        op.drop_index(index, table)
    op.drop_index("ix_run_link_feeding", "run_link")
    op.drop_table("run_link")
    op.drop_column("run", "chain_id")
    op.drop_column("run", "error_type")


# Those that were there before are linked; they keep chains of their own.
_RERUNS = """
    INSERT INTO run_link (fed_id, feeding_id, kind)
    SELECT id, rerun_of, 'rerun' FROM run WHERE rerun_of IS NOT NULL AND rerun_of <> id
"""
_UNSUCCESSFUL = "status IN ('cancelled', 'failed', 'skipped')"
_INDEXES: tuple[tuple[str, str, list[str], str], ...] = (
    ("run", "ix_run_error", ["error_type", "scheduled_for", "id"], "error_type IS NOT NULL"),
    ("run", "ix_run_unsuccessful", ["status", "scheduled_for", "id"], _UNSUCCESSFUL),
    ("run", "ix_run_reason", ["reason", "scheduled_for", "id"], "reason IS NOT NULL"),
    ("run", "ix_run_trigger", ["trigger", "scheduled_for", "id"], "trigger <> 'schedule'"),
    ("run", "ix_run_finished", ["finished_at", "scheduled_for"], "finished_at IS NOT NULL"),
    ("run", "ix_run_early", ["finished_at", "scheduled_for"], "scheduled_for > finished_at"),
    ("run", "ix_run_chain", ["chain_id"], "chain_id IS NOT NULL"),
    ("task", "ix_task_handler", ["handler", "name"], "deleted_at IS NULL"),
)
