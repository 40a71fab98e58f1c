"""Reasons: why a run was skipped, failed or cancelled, and what a waiting one waits for."""

from enum import StrEnum


class SkipReason(StrEnum):
    """Why a fire time did not run."""

    MISFIRE = "misfire"  # it passed while nobody could fire it
    TOO_LATE = "too_late"  # it passed longer ago than `misfire_grace`
    OVERLAP = "overlap"  # an earlier run of the task was unfinished
    PAUSED = "paused"  # it passed while the task was paused
    EXCLUDED = "excluded"  # the schedule leaves it out
    DST_GAP = "dst_gap"  # the clock never showed it, and the schedule skips such times
    CONSTRAINT_DEADLINE = "constraint_deadline"  # its constraints were not met in time
    PREDECESSOR = "predecessor"  # a task that it comes after did not end as it should


class FailReason(StrEnum):
    """Why a run failed."""

    ERROR = "error"  # the only attempt that the policy allows raised
    FATAL = "fatal"  # the handler said that trying again is of no use
    TIMEOUT = "timeout"  # the only attempt that the policy allows took too long
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    LOST = "lost"  # its process died under it, several times
    TARGET_GONE = "target_gone"  # 410
    DEADLINE = "deadline"  # retry.max_elapsed


class CancelReason(StrEnum):
    """Why a run was cancelled."""

    REQUESTED = "requested"
    REPLACED = "replaced"
    TASK_CANCELLED = "task_cancelled"
    TASK_DELETED = "task_deleted"


class WaitingOn(StrEnum):
    """What a blocked run waits for."""

    PAUSED = "paused"
    HANDLER = "handler"
    CONCURRENCY = "concurrency"  # as many runs with its key are running as may
