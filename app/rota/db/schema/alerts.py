"""Alerts that are raised, and notifications of them."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, String, Text
from sqlmodel import Field

from rota.db.schema.base import Row, name_type, one_of, partial
from rota.db.types import Instant, StoredId
from rota.domain.alerts.rules import AlertKind
from rota.domain.primitives.ids import Id


class AlertRow(Row, table=True):
    """An alert of a task that is raised: it is not raised again until it has recovered, which removes the row."""

    __tablename__ = "alert"
    __table_args__ = (
        CheckConstraint(one_of("kind", AlertKind), name="kind"),
        ForeignKeyConstraint(["task_id"], ["task.id"], ondelete="CASCADE"),
    )

    task_id: Id = Field(primary_key=True, sa_type=StoredId)
    kind: str = Field(sa_type=String(16), primary_key=True)
    raised_at: datetime = Field(sa_type=Instant)
    #: The run that raised it; NULL for one that is raised by the absence of a run.
    run_id: Id | None = Field(None, sa_type=StoredId)


class NotificationRow(Row, table=True):
    """One event for one task: sent once a run with it has succeeded, and tried again until then, or given up."""

    __tablename__ = "notification"
    __table_args__ = (
        CheckConstraint(one_of("kind", AlertKind), name="kind"),
        CheckConstraint("sent_at IS NULL OR not_before IS NULL", name="sent_is_done"),
        CheckConstraint(
            "given_up_at IS NULL OR (sent_at IS NULL AND not_before IS NULL)",
            name="given_up_is_done",
        ),
        ForeignKeyConstraint(["task_id"], ["task.id"], ondelete="CASCADE"),
        Index("ix_notification_task", "task_id", "id"),
        Index("ix_notification_run", "run_id", **partial("run_id IS NOT NULL")),
        Index("ix_notification_pending", "not_before", **partial("not_before IS NOT NULL")),
        # A run ends once: there is no alert that would keep its success from notifying twice.
        Index("uq_notification_success", "caused_by", unique=True, **partial("kind = 'success'")),
        Index(
            "ix_notification_waiting", "task_id", "kind", "id", **partial("not_before IS NOT NULL")
        ),
        Index("ix_notification_given_up", "given_up_at", **partial("given_up_at IS NOT NULL")),
        Index("ix_notification_sent", "sent_at", **partial("sent_at IS NOT NULL")),
    )

    id: Id = Field(primary_key=True, sa_type=StoredId)
    #: The task that it is about.
    task_id: Id = Field(sa_type=StoredId)
    kind: str = Field(sa_type=String(16))
    #: The run whose end, or whose lateness, is reported; it may not be kept any more.
    caused_by: Id | None = Field(None, sa_type=StoredId)
    #: The name of the task that is to run.
    notifies: str = Field(sa_type=name_type())
    #: The envelope: `{"type", "timestamp", "data"}`.
    event: str = Field(sa_type=Text)
    #: The run that sends it now, or has sent it.
    run_id: Id | None = Field(None, sa_type=StoredId)
    attempts: int = 0
    #: When it is tried again; NULL while a run of it is unfinished, and once it is sent or given up.
    not_before: datetime | None = Field(None, sa_type=Instant)
    created_at: datetime = Field(sa_type=Instant)
    sent_at: datetime | None = Field(None, sa_type=Instant)
    #: When it was given up: it is not tried again.
    given_up_at: datetime | None = Field(None, sa_type=Instant)
    #: How many notifications of its task and kind that waited before it were left out.
    omitted: int = Field(0, sa_column_kwargs={"server_default": "0"})


class UnwatchedSpanRow(Row, table=True):
    """A time in which nobody looked at what is late: Rota was not running, stood still, or its clock was set forward.

    It does not count for alerts that follow from time.
    """

    __tablename__ = "unwatched_span"
    __table_args__ = (CheckConstraint("starts_at < ends_at", name="takes_time"),)

    ends_at: datetime = Field(primary_key=True, sa_type=Instant)
    starts_at: datetime = Field(sa_type=Instant)


class AlertWatchRow(Row, table=True):
    """When a replica looked last at what is late; one row, written every half minute."""

    __tablename__ = "alert_watch"
    __table_args__ = (CheckConstraint("id = 1", name="only"),)

    id: int = Field(1, primary_key=True, sa_column_kwargs={"autoincrement": False})
    looked_at: datetime = Field(sa_type=Instant)
