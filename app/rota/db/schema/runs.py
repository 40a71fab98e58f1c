"""Runs, their earlier attempts, and what their handlers logged."""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    String,
    Text,
    text,
)
from sqlmodel import Field

from rota.db.schema.base import Row, name_type, one_of, partial
from rota.db.types import Instant, StoredId
from rota.domain.primitives.ids import Id
from rota.domain.runs.lineage import LinkKind
from rota.domain.runs.outcomes import AttemptOutcome
from rota.domain.runs.status import FINAL, RunStatus, Trigger

# A postponed attempt has no row: it made no call, and there may be one a minute.
_KEPT = [outcome for outcome in AttemptOutcome if outcome is not AttemptOutcome.POSTPONED]
_FINAL = one_of("status", FINAL)
_UNSUCCESSFUL = one_of("status", FINAL - {RunStatus.SUCCEEDED})


class RunRow(Row, table=True):
    """The execution of a fire time, with its latest attempt; earlier attempts are rows of `attempt`."""

    __tablename__ = "run"
    __table_args__ = (
        CheckConstraint(one_of("status", RunStatus), name="status"),
        CheckConstraint(one_of("trigger", Trigger), name="trigger"),
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
            **partial("trigger = 'schedule'"),
        ),
        Index("ix_run_task", "task_id", "scheduled_for", "id"),
        Index("ix_run_scheduled_for", "scheduled_for", "id"),
        Index(
            "ix_run_claim",
            "queue",
            text("priority DESC"),
            "scheduled_for",
            "id",
            **partial("status = 'queued' AND not_before IS NULL"),
        ),
        # Runs that were lost with their process before: nearly always none.
        Index(
            "ix_run_suspect",
            "queue",
            **partial("status = 'queued' AND not_before IS NULL AND lost_count > 0"),
        ),
        Index(
            "ix_run_delayed",
            "not_before",
            **partial("status = 'queued' AND not_before IS NOT NULL"),
        ),
        # How many wait for something, for the metrics: few, and none in most queues.
        Index("ix_run_blocked", "queue", **partial("status = 'blocked'")),
        Index("ix_run_held", "id", **partial("status = 'blocked' AND waiting_on = '[\"hold\"]'")),
        Index("ix_run_unfinished", "task_id", **partial("finished_at IS NULL")),
        Index("ix_run_running", "holder", "queue", **partial("status = 'running'")),
        Index(
            "ix_run_key_running",
            "concurrency_key",
            **partial("status = 'running' AND concurrency_key IS NOT NULL"),
        ),
        Index(
            "ix_run_key_queued",
            "queue",
            "concurrency_key",
            **partial("status = 'queued' AND not_before IS NULL AND concurrency_key IS NOT NULL"),
        ),
        Index(
            "ix_run_key_blocked",
            "concurrency_key",
            "queue",
            text("priority DESC"),
            "scheduled_for",
            "id",
            **partial("status = 'blocked' AND waiting_on = '[\"concurrency\"]'"),
        ),
        Index(
            "ix_run_in_line",
            "task_id",
            "scheduled_for",
            "id",
            **partial("status = 'blocked' AND substr(waiting_on, 1, 10) = '[\"overlap:'"),
        ),
        Index(
            "ix_run_constrained",
            "scheduled_for",
            "id",
            **partial("status = 'blocked' AND constrained"),
        ),
        # Attempts that continue outside of Rota, by when they end without a sign of life.
        Index("ix_run_leased", "lease_expires_at", **partial("lease_token_hash IS NOT NULL")),
        Index(
            "ix_run_error",
            "error_type",
            "scheduled_for",
            "id",
            **partial("error_type IS NOT NULL"),
        ),
        # Those that did not succeed are few, and what is looked for most.
        Index("ix_run_unsuccessful", "status", "scheduled_for", "id", **partial(_UNSUCCESSFUL)),
        Index("ix_run_reason", "reason", "scheduled_for", "id", **partial("reason IS NOT NULL")),
        Index(
            "ix_run_trigger", "trigger", "scheduled_for", "id", **partial("trigger <> 'schedule'")
        ),
        # With the fire time, so that those that were late are found without a look at the others.
        Index(
            "ix_run_finished", "finished_at", "scheduled_for", **partial("finished_at IS NOT NULL")
        ),
        # Those that were cancelled while their fire time was still to come: nearly always none.
        Index(
            "ix_run_early", "finished_at", "scheduled_for", **partial("scheduled_for > finished_at")
        ),
        Index("ix_run_chain", "chain_id", **partial("chain_id IS NOT NULL")),
        Index("ix_run_backfill", "backfill_id", **partial("backfill_id IS NOT NULL")),
        # The latest failures, which are grouped by their errors.
        Index("ix_run_failure", "finished_at", **partial("status = 'failed'")),
        # For statistics: spans that reach over the edge of a window, and the last failure. Few runs are either.
        Index(
            "ix_run_span",
            "task_id",
            "scheduled_until",
            "scheduled_for",
            **partial("scheduled_until IS NOT NULL"),
        ),
        Index("ix_run_failed", "task_id", "finished_at", **partial("status = 'failed'")),
    )

    id: Id = Field(primary_key=True, sa_type=StoredId)
    task_id: Id = Field(sa_type=StoredId)
    task_generation: int
    trigger: str = Field(sa_type=String(16))
    rerun_of: Id | None = Field(None, sa_type=StoredId)
    backfill_id: Id | None = Field(None, sa_type=StoredId)
    #: The first run of its chain; NULL: it began one itself.
    chain_id: Id | None = Field(None, sa_type=StoredId)
    scheduled_for: datetime = Field(sa_type=Instant)
    scheduled_until: datetime | None = Field(None, sa_type=Instant)
    count: int = 1
    status: str = Field(sa_type=String(16))
    reason: str | None = Field(None, sa_type=String(32))
    waiting_on: str | None = Field(None, sa_type=Text)
    handler: str = Field(sa_type=name_type())
    queue: str = Field(sa_type=name_type())
    priority: int
    not_before: datetime | None = Field(None, sa_type=Instant)
    concurrency_key: str | None = Field(None, sa_type=name_type())
    concurrency_limit: int | None = None
    #: Its task has constraints, which are checked before each attempt.
    constrained: bool = False
    input: str = Field(sa_type=Text)
    result: str | None = Field(None, sa_type=Text)
    error: str | None = Field(None, sa_type=Text)
    #: The `type` in `error`, at most 128 characters of it: what lists are filtered by.
    error_type: str | None = Field(None, sa_type=name_type())
    progress: str | None = Field(None, sa_type=Text)
    #: Of a call that succeeded: the seconds of its phases; those of a failed one are in its error.
    timings: str | None = Field(None, sa_type=Text)
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
    #: The trace context of what triggered it.
    traceparent: str | None = Field(None, sa_type=String(55))


class AttemptRow(Row, table=True):
    """An attempt that ended without ending its run."""

    __tablename__ = "attempt"
    __table_args__ = (
        CheckConstraint(one_of("outcome", _KEPT), name="outcome"),
        ForeignKeyConstraint(["run_id"], ["run.id"], ondelete="CASCADE"),
    )

    run_id: Id = Field(primary_key=True, sa_type=StoredId)
    attempt: int = Field(primary_key=True)
    outcome: str = Field(sa_type=String(16))
    counted: bool
    started_at: datetime = Field(sa_type=Instant)
    finished_at: datetime = Field(sa_type=Instant)
    error: str | None = Field(None, sa_type=Text)


class RunLinkRow(Row, table=True):
    """An earlier run (`feeding_id`) has led to another one, and is kept with that; it may be gone itself."""

    __tablename__ = "run_link"
    __table_args__ = (
        CheckConstraint(one_of("kind", LinkKind), name="kind"),
        CheckConstraint("fed_id <> feeding_id", name="of_two_runs"),
        ForeignKeyConstraint(["fed_id"], ["run.id"], ondelete="CASCADE"),
        Index("ix_run_link_feeding", "feeding_id"),
    )

    fed_id: Id = Field(primary_key=True, sa_type=StoredId)
    #: No reference: a finish must not fail because retention removes an earlier run meanwhile.
    feeding_id: Id = Field(primary_key=True, sa_type=StoredId)
    kind: str = Field(sa_type=String(16))


class AttemptTokenRow(Row, table=True):
    """The token by which an attempt can be completed from outside, as a hash; it is kept as long as the run.

    That of a postponed attempt, which made no call, is not.
    """

    __tablename__ = "attempt_token"
    __table_args__ = (ForeignKeyConstraint(["run_id"], ["run.id"], ondelete="CASCADE"),)

    run_id: Id = Field(primary_key=True, sa_type=StoredId)
    attempt: int = Field(primary_key=True)
    #: SHA-256, in hexadecimal.
    token_hash: str = Field(sa_type=String(64))
    #: The revision of the task's kv when the attempt began: its writes conflict with later ones.
    kv_revision: int = Field(sa_type=BigInteger)
    #: The hard limit, by the clock of leases: no heartbeat extends the attempt beyond it.
    deadline_at: datetime = Field(sa_type=Instant)
    #: How many milliseconds a heartbeat extends it by; NULL: it lasts until the deadline without any.
    silence_ms: int | None = Field(None, sa_type=BigInteger)


class RunLogRow(Row, table=True):
    """A line that a handler printed or logged."""

    __tablename__ = "run_log"
    __table_args__ = (ForeignKeyConstraint(["run_id"], ["run.id"], ondelete="CASCADE"),)

    run_id: Id = Field(primary_key=True, sa_type=StoredId)
    attempt: int = Field(primary_key=True)
    line: int = Field(primary_key=True)
    at: datetime = Field(sa_type=Instant)
    level: str = Field(sa_type=String(16))
    message: str = Field(sa_type=Text)
