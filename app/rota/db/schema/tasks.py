"""Tasks, and what belongs to one: tags, predecessors, backfills; and queues."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, Index, String, Text
from sqlmodel import Field

from rota.db.schema.base import Row, name_type, one_of, partial
from rota.db.types import Instant, StoredId
from rota.domain.primitives.ids import Id
from rota.domain.tasks.definition import TaskStatus


class TaskRow(Row, table=True):
    """A registration."""

    __tablename__ = "task"
    __table_args__ = (
        CheckConstraint(one_of("status", TaskStatus), name="status"),
        CheckConstraint("status <> 'active' OR deleted_at IS NULL", name="deleted_is_inactive"),
        CheckConstraint("(gap_until IS NULL) = (gap_catch_up IS NULL)", name="gap"),
        ForeignKeyConstraint(["handler"], ["handler.name"]),
        Index("uq_task_name", "name", unique=True, **partial("deleted_at IS NULL")),
        Index(
            "ix_task_due",
            "next_fire_at",
            **partial("status = 'active' AND next_fire_at IS NOT NULL AND deferred_until IS NULL"),
        ),
        Index(
            "ix_task_ended",
            "status_changed_at",
            **partial("status IN ('completed', 'cancelled') AND NOT declared"),
        ),
        # For the metrics: the numbers by status, the first ones by name, and those that fail. `deleted_at`, so that
        # SQLite need not look at the rows; `status` not first, or it would take this one to find ended tasks.
        Index("ix_task_by_name", "name", "status", "deleted_at", **partial("deleted_at IS NULL")),
        Index(
            "ix_task_failing",
            "consecutive_failures",
            **partial("consecutive_failures > 0 AND status = 'active'"),
        ),
        Index("ix_task_handler", "handler", "name", **partial("deleted_at IS NULL")),
        Index("ix_task_queue", "queue", **partial("deleted_at IS NULL")),
        Index("ix_task_alert_check", "alert_check_at", **partial("alert_check_at IS NOT NULL")),
        Index("ix_task_deferred", "deferred_until", "id", **partial("deferred_until IS NOT NULL")),
        Index("ix_task_deleted", "deleted_at", **partial("deleted_at IS NOT NULL")),
    )

    id: Id = Field(primary_key=True, sa_type=StoredId)
    name: str = Field(sa_type=name_type())
    handler: str = Field(sa_type=name_type())
    queue: str = Field(sa_type=name_type())
    definition: str = Field(sa_type=Text)
    input: str = Field(sa_type=Text)
    status: str = Field(sa_type=String(16))
    status_reason: str | None = Field(None, sa_type=Text)
    status_changed_at: datetime = Field(sa_type=Instant)
    status_changed_by: str
    generation: int
    anchored_at: datetime = Field(sa_type=Instant)
    next_fire_at: datetime | None = Field(None, sa_type=Instant)
    #: It is held, and need not be checked before this time; NULL: it may be due at `next_fire_at`.
    deferred_until: datetime | None = Field(None, sa_type=Instant)
    #: How many runs its schedule has produced since it was anchored (`max_runs`).
    fired: int = 0
    #: The next fire time counts from the end of the run (`fixed_delay`).
    fires_after_finish: bool = False
    #: It has rules of its own that the end of a run may raise an alert of.
    has_alerts: bool = False
    #: The skipped run to which fire times that are skipped next for the same reason are added.
    gap_run_id: Id | None = Field(None, sa_type=StoredId)
    #: The regular fire time that was moved last and does not fire itself; NULL if the moved one is additional.
    overrides_at: datetime | None = Field(None, sa_type=Instant)
    #: When it fires instead; it has fired once `next_fire_at` is later.
    moved_to_at: datetime | None = Field(None, sa_type=Instant)
    #: Set by a resumption: until when fire times were missed during the pause, and whether they are caught up.
    gap_until: datetime | None = Field(None, sa_type=Instant)
    gap_catch_up: str | None = Field(None, sa_type=String(8))
    #: Created or changed with `PUT`: kept when it has ended.
    declared: bool = False
    last_run_id: Id | None = Field(None, sa_type=StoredId)
    last_success_at: datetime | None = Field(None, sa_type=Instant)
    consecutive_failures: int = 0
    #: When the alerts that follow from time are checked next; NULL: it has no rule of that kind, or is paused.
    alert_check_at: datetime | None = Field(None, sa_type=Instant)
    #: What `success_within` and `expect_every` count from if nothing has succeeded since: its registration with the
    #: rule, or its resumption. NULL: it has no rule that follows from time.
    watched_from: datetime | None = Field(None, sa_type=Instant)
    kv_revision: int = Field(0, sa_type=BigInteger)
    #: The number of its kv entries, and their total size in bytes; without Rota's own entries.
    kv_entries: int = 0
    kv_bytes: int = Field(0, sa_type=BigInteger)
    created_at: datetime = Field(sa_type=Instant)
    updated_at: datetime = Field(sa_type=Instant)
    deleted_at: datetime | None = Field(None, sa_type=Instant)
    #: The trace context of the request that registered it last.
    traceparent: str | None = Field(None, sa_type=String(55))


class TaskTagRow(Row, table=True):
    """A tag of a task, for filters."""

    __tablename__ = "task_tag"
    __table_args__ = (
        ForeignKeyConstraint(["task_id"], ["task.id"], ondelete="CASCADE"),
        Index("ix_task_tag_task", "task_id"),
    )

    tag: str = Field(sa_type=name_type(64), primary_key=True)
    task_id: Id = Field(primary_key=True, sa_type=StoredId)


class PredecessorRow(Row, table=True):
    """A predecessor (`name`) of the task `task_id`, and its latest run that counts since that task fired."""

    __tablename__ = "predecessor"
    __table_args__ = (
        ForeignKeyConstraint(["task_id"], ["task.id"], ondelete="CASCADE"),
        Index("ix_predecessor_name", "name", "task_id"),
    )

    task_id: Id = Field(primary_key=True, sa_type=StoredId)
    name: str = Field(sa_type=name_type(), primary_key=True)
    run_id: Id | None = Field(None, sa_type=StoredId)


class BackfillRow(Row, table=True):
    """Fire times of a span that are run again, a few at a time; `next_at` is the next one to become a run."""

    __tablename__ = "backfill"
    __table_args__ = (
        CheckConstraint("max_concurrent > 0", name="max_concurrent"),
        ForeignKeyConstraint(["task_id"], ["task.id"]),
        Index("ix_backfill_unfinished", "id", **partial("finished_at IS NULL")),
        Index("ix_backfill_task", "task_id"),
    )

    id: Id = Field(primary_key=True, sa_type=StoredId)
    task_id: Id = Field(sa_type=StoredId)
    #: The schedule and its anchor when the backfill was requested.
    schedule: str = Field(sa_type=Text)
    anchored_at: datetime = Field(sa_type=Instant)
    starts_at: datetime = Field(sa_type=Instant)
    ends_at: datetime = Field(sa_type=Instant)
    newest_first: bool
    max_concurrent: int
    spacing: float
    runs: int
    made: int = 0
    next_at: datetime | None = Field(None, sa_type=Instant)
    not_before: datetime | None = Field(None, sa_type=Instant)
    created_at: datetime = Field(sa_type=Instant)
    created_by: str
    finished_at: datetime | None = Field(None, sa_type=Instant)
    #: The trace context of the request that began it.
    traceparent: str | None = Field(None, sa_type=String(55))


class QueueRow(Row, table=True):
    """The settings of a queue; a queue without a row has no limit."""

    __tablename__ = "queue"
    __table_args__ = (
        CheckConstraint("concurrency IS NULL OR concurrency > 0", name="concurrency"),
    )

    name: str = Field(sa_type=name_type(), primary_key=True)
    concurrency: int | None = None
    paused: bool
    updated_at: datetime = Field(sa_type=Instant)
    updated_by: str
