"""Bulk operations: their verbs, their results, and which runs take a verb. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, assert_never

from rota.domain.access.names import UNLIMITED, NameLimit
from rota.domain.access.quotas import Quota
from rota.domain.bulk.selector import RunSelector
from rota.domain.primitives.ids import Id
from rota.domain.runs.status import RunStatus
from rota.domain.tasks.definition import TaskStatus
from rota.errors import AppError


class BulkVerb(StrEnum):
    """What is done to each run."""

    RERUN = "rerun"
    CANCEL = "cancel"
    DELETE = "delete"


class BulkStatus(StrEnum):
    """The state of a bulk operation."""

    PREVIEWED = "previewed"  # nothing is done before it is confirmed
    RUNNING = "running"
    FINISHED = "finished"
    CANCELLED = "cancelled"  # the runs that were left are not touched


class ItemResult(StrEnum):
    """The result of one run of a bulk operation."""

    DONE = "done"
    CHANGED = "changed"  # it is not any more what was selected, so it was left alone
    REFUSED = "refused"  # with the problem that the verb alone would have returned


class Refusal(NamedTuple):
    """Why a run does not take a verb: the slug of a problem, and a sentence."""

    slug: str
    detail: str

    @classmethod
    def of(cls, error: AppError) -> "Refusal":
        return cls(error.slug, error.detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a client has asked for. `limit`: the tasks that it may see; the selector matches no runs of others."""

    verb: BulkVerb
    selector: RunSelector
    limit: NameLimit = UNLIMITED
    #: JSON text, which reruns get in place of their own input.
    input: str | None = None
    #: How many runs that it has made are unfinished at a time; None: any number.
    max_concurrent: int | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """How many of the selected runs would be refused, and why."""

    slug: str
    detail: str
    runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The runs that were selected, in the order in which they are dealt with, and which of them had ended."""

    run_ids: Sequence[Id]
    ended: Sequence[bool]
    statuses: Mapping[str, int] = field(default_factory=dict)
    foreseen: Sequence[Foreseen] = ()
    #: The selector matches more runs than one operation takes.
    truncated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulk:
    """A bulk operation. The runs before `position` have their results."""

    id: Id
    request: Request
    status: BulkStatus
    runs: int
    truncated: bool
    position: int
    statuses: Mapping[str, int]
    foreseen: Sequence[Foreseen]
    quota: Quota | None
    created_at: datetime
    created_by: str
    #: When a preview can be confirmed no longer.
    expires_at: datetime
    confirmed_at: datetime | None
    confirmed_by: str | None
    finished_at: datetime | None
    #: Why it was cancelled, if no client has requested that.
    reason: str | None
    #: In a list: its input was not read, since it is large.
    input_left_out: bool = False

    @property
    def ended(self) -> bool:
        """Whether nothing further will be done."""
        return self.status in {BulkStatus.FINISHED, BulkStatus.CANCELLED}


class Item(NamedTuple):
    """The result of the run at a position of a bulk operation; `result` None: there is none yet."""

    position: int
    run_id: Id
    #: None: it was removed before its turn came.
    task: str | None
    result: ItemResult | None
    problem: str | None = None
    detail: str | None = None
    new_run_id: Id | None = None


def refusal(
    verb: BulkVerb, run_id: Id, status: RunStatus, task: str, task_status: str
) -> Refusal | None:
    """Return why a run in this status does not take a verb; None if it does, judged by its status."""
    match verb:
        case BulkVerb.RERUN if not status.final:
            detail = f"Run {run_id} is {status}; only a finished run can be run again."
        case BulkVerb.RERUN if task_status == TaskStatus.CANCELLED:
            detail = f"Task {task!r} is cancelled; register it again to revive it."
        case BulkVerb.CANCEL if status.final:
            detail = f"Run {run_id} has {_ended_as(status)} already."
        case BulkVerb.DELETE if not status.final:
            detail = f"Run {run_id} is {status}; cancel it first, and delete it once it has ended."
        case BulkVerb.RERUN | BulkVerb.CANCEL | BulkVerb.DELETE:
            return None
        case _:
            assert_never(verb)
    return Refusal("wrong-status", detail)


def foreseen_detail(verb: BulkVerb, status: RunStatus) -> str:
    """Return the sentence for all runs of one status that a verb would be refused for."""
    match verb:
        case BulkVerb.RERUN if status.final:
            return "Their tasks are cancelled; register them again to revive them."
        case BulkVerb.RERUN:
            return f"They are {status}; only a finished run can be run again."
        case BulkVerb.CANCEL:
            return f"They have {_ended_as(status)} already."
        case BulkVerb.DELETE:
            return f"They are {status}; cancel them first, and delete them once they have ended."
        case _:
            assert_never(verb)


def _ended_as(status: RunStatus) -> str:
    if status in {RunStatus.CANCELLED, RunStatus.SKIPPED}:
        return f"been {status}"
    return str(status)
