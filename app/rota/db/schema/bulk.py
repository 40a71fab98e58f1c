"""Bulk operations on runs, the runs that they selected, and the result of each."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, LargeBinary, String, Text
from sqlmodel import Field

from rota.db.schema.base import Row, name_type, one_of, partial
from rota.db.types import Instant, StoredId
from rota.domain.bulk.model import BulkStatus, BulkVerb, ItemResult
from rota.domain.primitives.ids import Id

_ENDED = one_of("status", (BulkStatus.FINISHED, BulkStatus.CANCELLED))


class BulkRow(Row, table=True):
    """A bulk operation: a preview until it is confirmed. The runs before `position` have their results."""

    __tablename__ = "bulk"
    __table_args__ = (
        CheckConstraint(one_of("verb", BulkVerb), name="verb"),
        CheckConstraint(one_of("status", BulkStatus), name="status"),
        CheckConstraint(f"({_ENDED}) = (finished_at IS NOT NULL)", name="ended_is_finished"),
        CheckConstraint(
            "status NOT IN ('finished', 'running') OR confirmed_at IS NOT NULL", name="confirmed"
        ),
        CheckConstraint("position BETWEEN 0 AND runs", name="position"),
        CheckConstraint("status <> 'finished' OR position = runs", name="finished_has_results"),
        CheckConstraint("status <> 'previewed' OR position = 0", name="preview_does_nothing"),
        CheckConstraint("max_concurrent IS NULL OR max_concurrent > 0", name="max_concurrent"),
        Index("ix_bulk_running", "id", **partial("status = 'running'")),
        Index("ix_bulk_created_at", "created_at"),
    )

    id: Id = Field(primary_key=True, sa_type=StoredId)
    verb: str = Field(sa_type=String(16))
    status: str = Field(sa_type=String(16))
    #: JSON: the selector as it was sent.
    selector: str = Field(sa_type=Text)
    #: JSON: the prefixes that the key which made it is limited to; NULL: none.
    prefixes: str | None = Field(None, sa_type=Text)
    #: JSON: the input of the runs that it makes; NULL: each has that of the run that it repeats.
    input: str | None = Field(None, sa_type=Text)
    max_concurrent: int | None = None
    #: The trace context of the request.
    traceparent: str | None = Field(None, sa_type=String(55))
    #: How many runs it is for.
    runs: int
    #: The selector matched more runs than that.
    truncated: bool
    position: int = 0
    #: JSON: how many of the runs had each status when they were selected.
    statuses: str = Field(sa_type=Text)
    #: JSON: `[{"slug", "detail", "runs"}]`, those that would be refused.
    foreseen: str = Field(sa_type=Text)
    #: JSON: the quota of the key that confirmed it, `{"allowed", "prefixes"}`; NULL: it has none.
    quota: str | None = Field(None, sa_type=Text)
    created_at: datetime = Field(sa_type=Instant)
    created_by: str
    expires_at: datetime = Field(sa_type=Instant)
    confirmed_at: datetime | None = Field(None, sa_type=Instant)
    confirmed_by: str | None = None
    finished_at: datetime | None = Field(None, sa_type=Instant)
    #: Why it was cancelled, if no client has requested that.
    reason: str | None = Field(None, sa_type=Text)


class BulkSelectionRow(Row, table=True):
    """Some of the runs that a bulk operation is for, from the position `first` on.

    Many in a row, since a preview of 100,000 runs is stored while clients wait, and each is read once.
    """

    __tablename__ = "bulk_selection"
    __table_args__ = (
        CheckConstraint("first >= 0", name="first"),
        ForeignKeyConstraint(["bulk_id"], ["bulk.id"], ondelete="CASCADE"),
    )

    bulk_id: Id = Field(primary_key=True, sa_type=StoredId)
    first: int = Field(primary_key=True)
    #: The ids of the runs, 16 bytes each.
    run_ids: bytes = Field(sa_type=LargeBinary)
    #: For each of them `1` if it had ended when it was selected, `0` if not.
    ended: str = Field(sa_type=Text)


class BulkItemRow(Row, table=True):
    """The result of one run of a bulk operation; written in the commit of what was done to the run."""

    __tablename__ = "bulk_item"
    __table_args__ = (
        CheckConstraint(one_of("result", ItemResult), name="result"),
        CheckConstraint("(result = 'refused') = (problem IS NOT NULL)", name="refused_has_problem"),
        CheckConstraint("new_run_id IS NULL OR result = 'done'", name="new_run_is_done"),
        ForeignKeyConstraint(["bulk_id"], ["bulk.id"], ondelete="CASCADE"),
        Index("ix_bulk_item_result", "bulk_id", "result", "position"),
        Index("ix_bulk_item_new_run", "new_run_id", **partial("new_run_id IS NOT NULL")),
    )

    bulk_id: Id = Field(primary_key=True, sa_type=StoredId)
    position: int = Field(primary_key=True)
    #: The run may not be kept any more.
    run_id: Id = Field(sa_type=StoredId)
    task: str | None = Field(None, sa_type=name_type())
    result: str = Field(sa_type=String(16))
    #: The slug of the problem for which it was refused.
    problem: str | None = Field(None, sa_type=String(64))
    detail: str | None = Field(None, sa_type=Text)
    #: The run that a rerun has made.
    new_run_id: Id | None = Field(None, sa_type=StoredId)
