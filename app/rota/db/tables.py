"""The tables. Constraint names are part of the design: the tests break each of them and recognise it by its name.

Columns that hold JSON are text, written by `domain.values`: the databases' own JSON types change numbers.
"""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)
from sqlmodel import Field, SQLModel

from rota.db.types import Instant, StoredId
from rota.domain.primitives.ids import Id
from rota.domain.runs.outcomes import AttemptOutcome
from rota.domain.runs.status import FINAL, RunStatus, Trigger
from rota.domain.tasks.definition import TaskStatus

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


class _Table(SQLModel):
    metadata: ClassVar[MetaData] = metadata


def _name(length: int = 128) -> Any:
    # Byte order on both databases: lists by name and prefixes must not depend on a collation.
    return String(length).with_variant(String(length, collation="C"), "postgresql")


def _partial(condition: str) -> dict[str, Any]:
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


def _one_of(column: str, members: Any) -> str:
    return f"{column} IN ({', '.join(repr(str(member)) for member in sorted(members))})"


_FINAL = _one_of("status", FINAL)


class HandlerRow(_Table, table=True):
    """A handler that tasks can be registered for, announced by a replica or built in."""

    __tablename__ = "handler"

    name: str = Field(sa_type=_name(), primary_key=True)
    description: str = Field(sa_type=Text)
    input_schema: str | None = Field(None, sa_type=Text)
    timeout: float | None = None
    isolation: str
    updated_at: datetime = Field(sa_type=Instant)


class ReplicaRow(_Table, table=True):
    """One process of the service and its lease; a new id at each start."""

    __tablename__ = "replica"

    id: Id = Field(primary_key=True, sa_type=StoredId)
    host: str
    pid: int
    handlers: str = Field(sa_type=Text)
    started_at: datetime = Field(sa_type=Instant)
    lease_expires_at: datetime = Field(sa_type=Instant)
    #: The time zone database that it computes with.
    zone_release: str | None = Field(None, sa_type=String(64))


class ZoneReleaseRow(_Table, table=True):
    """A time zone database that a replica computes, or stored fire times were computed with."""

    __tablename__ = "zone_release"

    release: str = Field(sa_type=String(64), primary_key=True)
    #: Since when stored fire times are computed with it; NULL: with another one.
    since: datetime | None = Field(None, sa_type=Instant)
    #: Since then, replicas with another one were there, so that some may be computed with that.
    mixed: bool = False
    files: bytes = Field(sa_type=LargeBinary)


class TaskRow(_Table, table=True):
    """A registration."""

    __tablename__ = "task"
    __table_args__ = (
        CheckConstraint(_one_of("status", TaskStatus), name="status"),
        CheckConstraint("status <> 'active' OR deleted_at IS NULL", name="deleted_is_inactive"),
        CheckConstraint("(gap_until IS NULL) = (gap_catch_up IS NULL)", name="gap"),
        ForeignKeyConstraint(["handler"], ["handler.name"]),
        Index(
            "uq_task_name",
            "name",
            unique=True,
            **_partial("deleted_at IS NULL"),
        ),
        Index(
            "ix_task_due",
            "next_fire_at",
            **_partial("status = 'active' AND next_fire_at IS NOT NULL"),
        ),
        Index(
            "ix_task_ended",
            "status_changed_at",
            **_partial("status IN ('completed', 'cancelled') AND NOT declared"),
        ),
        Index("ix_task_queue", "queue", **_partial("deleted_at IS NULL")),
        Index(
            "ix_task_deleted",
            "deleted_at",
            **_partial("deleted_at IS NOT NULL"),
        ),
    )

    id: Id = Field(primary_key=True, sa_type=StoredId)
    name: str = Field(sa_type=_name())
    handler: str = Field(sa_type=_name())
    queue: str = Field(sa_type=_name())
    definition: str = Field(sa_type=Text)
    input: str = Field(sa_type=Text)
    status: str = Field(sa_type=String(16))
    status_reason: str | None = Field(None, sa_type=Text)
    status_changed_at: datetime = Field(sa_type=Instant)
    status_changed_by: str
    generation: int
    anchored_at: datetime = Field(sa_type=Instant)
    next_fire_at: datetime | None = Field(None, sa_type=Instant)
    #: How many runs its schedule has made since it was anchored (`max_runs`).
    fired: int = 0
    #: The next fire time counts from the end of the run (`fixed_delay`).
    fires_after_finish: bool = False
    #: The skipped run that what is skipped next, for the same reason, is added to.
    gap_run_id: Id | None = Field(None, sa_type=StoredId)
    #: The regular fire time that was moved last, which does not fire itself; none if nothing else was to fire.
    overrides_at: datetime | None = Field(None, sa_type=Instant)
    #: When it fires in its place; it has fired once `next_fire_at` is later.
    moved_to_at: datetime | None = Field(None, sa_type=Instant)
    #: Set by a resumption: until when fire times passed during the pause, and what becomes of them.
    gap_until: datetime | None = Field(None, sa_type=Instant)
    gap_catch_up: str | None = Field(None, sa_type=String(8))
    #: Made or changed with `PUT`: kept when it has ended.
    declared: bool = False
    last_run_id: Id | None = Field(None, sa_type=StoredId)
    last_success_at: datetime | None = Field(None, sa_type=Instant)
    consecutive_failures: int = 0
    kv_revision: int = Field(0, sa_type=BigInteger)
    #: How many entries it has, with how many bytes in all; Rota's own apart.
    kv_entries: int = 0
    kv_bytes: int = Field(0, sa_type=BigInteger)
    created_at: datetime = Field(sa_type=Instant)
    updated_at: datetime = Field(sa_type=Instant)
    deleted_at: datetime | None = Field(None, sa_type=Instant)


class TaskTagRow(_Table, table=True):
    """A tag of a task, for filters."""

    __tablename__ = "task_tag"
    __table_args__ = (
        ForeignKeyConstraint(["task_id"], ["task.id"], ondelete="CASCADE"),
        Index("ix_task_tag_task", "task_id"),
    )

    tag: str = Field(sa_type=_name(64), primary_key=True)
    task_id: Id = Field(primary_key=True, sa_type=StoredId)


class PredecessorRow(_Table, table=True):
    """A task whose runs another one (`task_id`) waits for, and its latest run that counts since that one fired."""

    __tablename__ = "predecessor"
    __table_args__ = (
        ForeignKeyConstraint(["task_id"], ["task.id"], ondelete="CASCADE"),
        Index("ix_predecessor_name", "name", "task_id"),
    )

    task_id: Id = Field(primary_key=True, sa_type=StoredId)
    name: str = Field(sa_type=_name(), primary_key=True)
    run_id: Id | None = Field(None, sa_type=StoredId)


class QueueRow(_Table, table=True):
    """What was said of a queue; one without a row has no limit."""

    __tablename__ = "queue"
    __table_args__ = (
        CheckConstraint("concurrency IS NULL OR concurrency > 0", name="concurrency"),
    )

    name: str = Field(sa_type=_name(), primary_key=True)
    concurrency: int | None = None
    paused: bool
    updated_at: datetime = Field(sa_type=Instant)
    updated_by: str


class BackfillRow(_Table, table=True):
    """Fire times of a span that are run again, a few at a time; `next_at` is the next one to be made a run."""

    __tablename__ = "backfill"
    __table_args__ = (
        CheckConstraint("max_concurrent > 0", name="max_concurrent"),
        ForeignKeyConstraint(["task_id"], ["task.id"]),
        Index("ix_backfill_unfinished", "id", **_partial("finished_at IS NULL")),
        Index("ix_backfill_task", "task_id"),
    )

    id: Id = Field(primary_key=True, sa_type=StoredId)
    task_id: Id = Field(sa_type=StoredId)
    #: The rule, and what it counts from, as they were when the fire times were told.
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


class RunRow(_Table, table=True):
    """A fire time being carried out, with its latest attempt; earlier attempts are rows of `attempt`."""

    __tablename__ = "run"
    __table_args__ = (
        CheckConstraint(_one_of("status", RunStatus), name="status"),
        CheckConstraint(_one_of("trigger", Trigger), name="trigger"),
        CheckConstraint(f"({_FINAL}) = (finished_at IS NOT NULL)", name="final_is_finished"),
        CheckConstraint(
            "status <> 'running' OR (started_at IS NOT NULL AND attempt > 0"
            " AND (holder IS NULL) <> (lease_token_hash IS NULL))",
            name="running_is_held",
        ),
        CheckConstraint(
            "status = 'running' OR (holder IS NULL AND lease_token_hash IS NULL)",
            name="held_is_running",
        ),
        CheckConstraint(
            "status NOT IN ('failed', 'cancelled', 'skipped') OR reason IS NOT NULL", name="reason"
        ),
        CheckConstraint("status = 'succeeded' OR result IS NULL", name="result_of_success"),
        CheckConstraint("count > 0 AND (count = 1 OR scheduled_until IS NOT NULL)", name="span"),
        CheckConstraint(
            "(concurrency_key IS NULL) = (concurrency_limit IS NULL)"
            " AND (concurrency_limit IS NULL OR concurrency_limit > 0)",
            name="concurrency",
        ),
        ForeignKeyConstraint(["task_id"], ["task.id"]),
        Index(
            "uq_run_task_scheduled_for",
            "task_id",
            "scheduled_for",
            unique=True,
            **_partial("trigger = 'schedule'"),
        ),
        Index("ix_run_task", "task_id", "scheduled_for", "id"),
        Index("ix_run_scheduled_for", "scheduled_for", "id"),
        Index(
            "ix_run_claim",
            "queue",
            text("priority DESC"),
            "scheduled_for",
            "id",
            **_partial("status = 'queued' AND not_before IS NULL"),
        ),
        # Runs that were lost with their process before: nearly always there are none.
        Index(
            "ix_run_suspect",
            "queue",
            **_partial("status = 'queued' AND not_before IS NULL AND lost_count > 0"),
        ),
        Index(
            "ix_run_delayed",
            "not_before",
            **_partial("status = 'queued' AND not_before IS NOT NULL"),
        ),
        Index(
            "ix_run_unfinished",
            "task_id",
            **_partial("finished_at IS NULL"),
        ),
        Index(
            "ix_run_running",
            "holder",
            "queue",
            **_partial("status = 'running'"),
        ),
        Index(
            "ix_run_key_running",
            "concurrency_key",
            **_partial("status = 'running' AND concurrency_key IS NOT NULL"),
        ),
        Index(
            "ix_run_key_queued",
            "queue",
            "concurrency_key",
            **_partial("status = 'queued' AND not_before IS NULL AND concurrency_key IS NOT NULL"),
        ),
        Index(
            "ix_run_key_blocked",
            "concurrency_key",
            "queue",
            text("priority DESC"),
            "scheduled_for",
            "id",
            **_partial("status = 'blocked' AND waiting_on = '[\"concurrency\"]'"),
        ),
        Index(
            "ix_run_in_line",
            "task_id",
            "scheduled_for",
            "id",
            **_partial("status = 'blocked' AND substr(waiting_on, 1, 10) = '[\"overlap:'"),
        ),
        Index(
            "ix_run_constrained",
            "scheduled_for",
            "id",
            **_partial("status = 'blocked' AND constrained"),
        ),
        Index("ix_run_backfill", "backfill_id", **_partial("backfill_id IS NOT NULL")),
    )

    id: Id = Field(primary_key=True, sa_type=StoredId)
    task_id: Id = Field(sa_type=StoredId)
    task_generation: int
    trigger: str = Field(sa_type=String(16))
    rerun_of: Id | None = Field(None, sa_type=StoredId)
    backfill_id: Id | None = Field(None, sa_type=StoredId)
    scheduled_for: datetime = Field(sa_type=Instant)
    scheduled_until: datetime | None = Field(None, sa_type=Instant)
    count: int = 1
    status: str = Field(sa_type=String(16))
    reason: str | None = Field(None, sa_type=String(32))
    waiting_on: str | None = Field(None, sa_type=Text)
    handler: str = Field(sa_type=_name())
    queue: str = Field(sa_type=_name())
    priority: int
    not_before: datetime | None = Field(None, sa_type=Instant)
    concurrency_key: str | None = Field(None, sa_type=_name())
    concurrency_limit: int | None = None
    #: Its task has constraints, which are looked at before each attempt.
    constrained: bool = False
    input: str = Field(sa_type=Text)
    result: str | None = Field(None, sa_type=Text)
    error: str | None = Field(None, sa_type=Text)
    progress: str | None = Field(None, sa_type=Text)
    attempt: int = 0
    outcome: str | None = Field(None, sa_type=String(16))
    failures: int = 0
    lost_count: int = 0
    conflict_count: int = 0
    holder: Id | None = Field(None, sa_type=StoredId)
    lease_token_hash: str | None = Field(None, sa_type=String(64))
    lease_expires_at: datetime | None = Field(None, sa_type=Instant)
    cancel_requested_at: datetime | None = Field(None, sa_type=Instant)
    cancel_reason: str | None = Field(None, sa_type=String(32))
    created_at: datetime = Field(sa_type=Instant)
    first_started_at: datetime | None = Field(None, sa_type=Instant)
    started_at: datetime | None = Field(None, sa_type=Instant)
    finished_at: datetime | None = Field(None, sa_type=Instant)


class AttemptRow(_Table, table=True):
    """An attempt that ended without ending its run."""

    __tablename__ = "attempt"
    __table_args__ = (
        CheckConstraint(_one_of("outcome", AttemptOutcome), name="outcome"),
        ForeignKeyConstraint(["run_id"], ["run.id"], ondelete="CASCADE"),
    )

    run_id: Id = Field(primary_key=True, sa_type=StoredId)
    attempt: int = Field(primary_key=True)
    outcome: str = Field(sa_type=String(16))
    counted: bool
    started_at: datetime = Field(sa_type=Instant)
    finished_at: datetime = Field(sa_type=Instant)
    error: str | None = Field(None, sa_type=Text)


class RunLogRow(_Table, table=True):
    """A line that a handler printed or logged."""

    __tablename__ = "run_log"
    __table_args__ = (ForeignKeyConstraint(["run_id"], ["run.id"], ondelete="CASCADE"),)

    run_id: Id = Field(primary_key=True, sa_type=StoredId)
    attempt: int = Field(primary_key=True)
    line: int = Field(primary_key=True)
    at: datetime = Field(sa_type=Instant)
    level: str = Field(sa_type=String(16))
    message: str = Field(sa_type=Text)


class KvRow(_Table, table=True):
    """An entry of a task's key-value table."""

    __tablename__ = "kv"
    __table_args__ = (
        CheckConstraint("version > 0", name="version"),
        ForeignKeyConstraint(["task_id"], ["task.id"]),
        Index(
            "ix_kv_expires_at",
            "expires_at",
            **_partial("expires_at IS NOT NULL"),
        ),
        Index("ix_kv_sealed_with", "sealed_with", **_partial("sealed_with IS NOT NULL")),
    )

    task_id: Id = Field(primary_key=True, sa_type=StoredId)
    key: str = Field(sa_type=_name(255), primary_key=True)
    value: bytes = Field(sa_type=LargeBinary)
    content_type: str = Field(sa_type=String(255))
    size: int
    version: int = Field(sa_type=BigInteger)
    updated_at: datetime = Field(sa_type=Instant)
    updated_by: str
    expires_at: datetime | None = Field(None, sa_type=Instant)
    #: The id of the key that `value` is encrypted with; NULL: it is as it is.
    sealed_with: str | None = Field(None, sa_type=_name(32))


class KvHistoryRow(_Table, table=True):
    """What an entry was before it was written again or removed; `value` NULL: the removal itself.

    With an empty `content_type`, the mark that what was up to this version is forgotten (with an empty `key`, of every
    key): `store.kv_keeping`.
    """

    __tablename__ = "kv_history"
    __table_args__ = (
        CheckConstraint("version > 0", name="version"),
        ForeignKeyConstraint(["task_id"], ["task.id"]),
        Index("ix_kv_history_version", "task_id", "version"),
        Index("ix_kv_history_sealed_with", "sealed_with", **_partial("sealed_with IS NOT NULL")),
    )

    task_id: Id = Field(primary_key=True, sa_type=StoredId)
    key: str = Field(sa_type=_name(255), primary_key=True)
    version: int = Field(sa_type=BigInteger, primary_key=True)
    content_type: str = Field(sa_type=String(255))
    size: int
    updated_at: datetime = Field(sa_type=Instant)
    updated_by: str
    expires_at: datetime | None = Field(None, sa_type=Instant)
    #: The id of the key that `value` is encrypted with; NULL: it is as it is.
    sealed_with: str | None = Field(None, sa_type=_name(32))
    #: The last column: SQLite reads through a large value to what lies behind it.
    value: bytes | None = Field(None, sa_type=LargeBinary)


class SealingNoteRow(_Table, table=True):
    """That all values are encrypted, sealed with the first key, so that none in plain is taken from then on."""

    __tablename__ = "sealing_note"

    sealed_with: str = Field(sa_type=_name(32), primary_key=True)
    noted_at: datetime = Field(sa_type=Instant)
    proof: bytes = Field(sa_type=LargeBinary)


class EventRow(_Table, table=True):
    """What one commit has done, for those who want to be told of it: a JSON list, empty if it is kept no more."""

    __tablename__ = "event"
    __table_args__ = (Index("ix_event_position", "xid", "id"),)

    id: int | None = Field(
        None, sa_type=BigInteger().with_variant(Integer, "sqlite"), primary_key=True
    )
    #: PostgreSQL: the number of the transaction, in whose order events are told; SQLite: 0.
    xid: int = Field(sa_type=BigInteger)
    at: datetime = Field(sa_type=Instant)
    events: str = Field(sa_type=Text)


class IdempotencyRow(_Table, table=True):
    """The answer to a request that carried an `Idempotency-Key`, kept in the commit of its write."""

    __tablename__ = "idempotency"
    __table_args__ = (Index("ix_idempotency_created_at", "created_at"),)

    key: str = Field(sa_type=_name(255), primary_key=True)
    principal: str = Field(sa_type=_name(64), primary_key=True)
    fingerprint: str = Field(sa_type=String(64))
    status: int
    headers: str = Field(sa_type=Text)
    body: bytes = Field(sa_type=LargeBinary)
    created_at: datetime = Field(sa_type=Instant)


def table_of(row: type[SQLModel]) -> Table:
    """Return the Core table behind a table class."""
    return row.__table__  # type: ignore[attr-defined,no-any-return]


handler = table_of(HandlerRow)
replica = table_of(ReplicaRow)
zone_release = table_of(ZoneReleaseRow)
task = table_of(TaskRow)
task_tag = table_of(TaskTagRow)
run = table_of(RunRow)
attempt = table_of(AttemptRow)
run_log = table_of(RunLogRow)
kv = table_of(KvRow)
kv_history = table_of(KvHistoryRow)
sealing_note = table_of(SealingNoteRow)
event = table_of(EventRow)
idempotency = table_of(IdempotencyRow)
predecessor = table_of(PredecessorRow)
queue = table_of(QueueRow)
backfill = table_of(BackfillRow)
