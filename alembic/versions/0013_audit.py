"""The audit log, which is append-only.

Revision ID: 0013
Revises: 0012
"""

import sqlalchemy as sa
from alembic import op

from rota.db.types import Instant, StoredId

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_SQLITE = """
CREATE TRIGGER audit_is_append_only BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'audit_is_append_only'); END
"""
_FUNCTION = """
CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'audit_is_append_only' USING ERRCODE = 'check_violation'; END $$
"""
_POSTGRESQL = """
CREATE TRIGGER audit_is_append_only BEFORE UPDATE ON audit
FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()
"""


def _name(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", StoredId(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("principal", _name(128), nullable=False),
        sa.Column("key_id", sa.String(32), nullable=True),
        sa.Column("address", sa.String(64), nullable=True),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("action", _name(32), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("name", _name(255), nullable=False),
        sa.Column("task", _name(128), nullable=True),
        sa.Column("before", sa.Text, nullable=True),
        sa.Column("after", sa.Text, nullable=True),
        sa.Column("details", sa.Text, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_index("ix_audit_at", "audit", ["at", "id"])
    for column in ("task", "principal", "action"):
        op.create_index(f"ix_audit_{column}", "audit", [column, "at", "id"])
    if op.get_bind().dialect.name == "sqlite":
        op.execute(_SQLITE)
    else:
        op.execute(_FUNCTION)
        op.execute(_POSTGRESQL)


def downgrade() -> None:
    op.drop_table("audit")
    if op.get_bind().dialect.name != "sqlite":
        op.execute("DROP FUNCTION audit_is_append_only()")
