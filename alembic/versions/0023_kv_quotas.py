"""Quotas of keys for the bytes of kv values.

Revision ID: 0023
Revises: 0022
"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_CHECK = "ck_api_key_max_kv_bytes"
_IS_POSITIVE = "max_kv_bytes > 0"


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        # With its check: to add that later, the table would have to be copied.
        op.execute(
            f"ALTER TABLE api_key ADD COLUMN max_kv_bytes BIGINT CONSTRAINT {_CHECK} CHECK ({_IS_POSITIVE})"
        )
        return
    op.add_column("api_key", sa.Column("max_kv_bytes", sa.BigInteger(), nullable=True))
    op.create_check_constraint(op.f(_CHECK), "api_key", _IS_POSITIVE)


def downgrade() -> None:
    if op.get_bind().dialect.name != "sqlite":
        op.drop_constraint(op.f(_CHECK), "api_key", type_="check")
    op.drop_column("api_key", "max_kv_bytes")
