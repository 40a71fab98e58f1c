"""Reasons: why a run was skipped, failed or cancelled, what it waits for, and why a task was paused."""

from enum import StrEnum
from typing import TypeVar

_Reason = TypeVar("_Reason", bound=StrEnum)


class SkipReason(StrEnum):
    """Why a fire time did not run."""

    MISFIRE = "misfire"  # it passed while no replica could fire it
    TOO_LATE = "too_late"  # it passed longer ago than `misfire_grace`
    OVERLAP = "overlap"  # an earlier run of the task was unfinished
    PAUSED = "paused"  # it passed while the task was paused
    HELD = "held"  # it passed during a hold
    EXCLUDED = "excluded"  # the schedule leaves it out
    DST_GAP = "dst_gap"  # the local time did not exist, and the schedule skips such times
    CONSTRAINT_DEADLINE = "constraint_deadline"  # its constraints were not met in time
    PREDECESSOR = "predecessor"  # a run of a predecessor did not end with a status in `on`


class FailReason(StrEnum):
    """Why a run failed."""

    ERROR = "error"  # the only attempt that the policy allows raised
    FATAL = "fatal"  # the handler ruled out another attempt
    TIMEOUT = "timeout"  # the only attempt that the policy allows took too long
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    LOST = "lost"  # its process ended during several attempts
    TARGET_GONE = "target_gone"  # the target answered 410
    DEADLINE = "deadline"  # retry.max_elapsed, or a day of waiting for a host that is down


class CancelReason(StrEnum):
    """Why a run was cancelled."""

    REQUESTED = "requested"
    REPLACED = "replaced"
    TASK_CANCELLED = "task_cancelled"
    TASK_DELETED = "task_deleted"


class PauseReason(StrEnum):
    """Why Rota paused a task by itself; the reason of a client is free text."""

    UNPLANNABLE = "unplannable"  # its fire times cannot be computed
    TARGET_GONE = "target_gone"  # the target answered 410


class WaitingOn(StrEnum):
    """What a run waits for; `overlap:<run id>`, `constraint:<name>`, `circuit:<host>` and `host:<host>` have a suffix.

    A run that waits for a host is queued, with a `not_before`; one that waits for its completion is running; all others
    are blocked.
    """

    PAUSED = "paused"
    HOLD = "hold"  # its task is held
    OVERLAP = "overlap"
    HANDLER = "handler"
    CONSTRAINT = "constraint"
    CONCURRENCY = "concurrency"  # as many runs with its key are running as its limit allows
    CIRCUIT = "circuit"  # its host does not answer, and is not called until `not_before`
    HOST = (
        "host"  # as many calls to its host are under way, or were begun lately, as its limits allow
    )
    COMPLETION = (
        "completion"  # running: its attempt continues outside of Rota, which is to complete it
    )


class ExplainedReason(StrEnum):
    """Reasons that only explanations have, beside those of runs and of pauses."""

    NOT_BEFORE = "not_before"
    QUEUE = "queue"
    QUEUE_FULL = "queue_full"
    QUEUE_PAUSED = "queue_paused"
    STARTING = "starting"
    WORKER = "worker"  # its handler is declared for workers outside, and none has leased it yet
    MANUAL = "manual"
    AFTER = "after"
    MAX_RUNS = "max_runs"
    NEXT_FIRE_AT = "next_fire_at"
    REGISTERED_LATER = "registered_later"
    SCHEDULE_CHANGED = "schedule_changed"


def known(kind: type[_Reason], text: str | None) -> _Reason | None:
    """Return the reason that a stored text is; None for no text, and for one that another version has written."""
    try:
        return None if text is None else kind(text)
    except ValueError:
        return None
