"""What retention has removed, so that statistics can say from when on they have everything."""

from datetime import datetime

from sqlmodel import Field

from rota.db.schema.base import Row
from rota.db.types import Instant, StoredId
from rota.domain.primitives.ids import Id


class RemovedRunsRow(Row, table=True):
    """A task of which runs were removed, and the last fire time among theirs.

    It has no foreign key: PostgreSQL would lock the task's row, which firing leaves out while it is locked.
    """

    __tablename__ = "removed_runs"

    task_id: Id = Field(primary_key=True, sa_type=StoredId)
    until_at: datetime = Field(sa_type=Instant)
