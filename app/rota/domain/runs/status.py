"""The status of a run, and what triggered it."""

from enum import StrEnum


class RunStatus(StrEnum):
    """The lifecycle of a run; the last four are final and absorbing."""

    BLOCKED = "blocked"  # `waiting_on` says for what
    QUEUED = "queued"  # waits in its queue, or for `not_before`
    RUNNING = "running"  # an attempt is under way
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"  # never started; `reason` says why

    #: No property: it is asked eight times for each run.
    final: bool

    def __init__(self, name: str) -> None:
        self.final = name in {"succeeded", "failed", "cancelled", "skipped"}


FINAL = frozenset(status for status in RunStatus if status.final)


class Trigger(StrEnum):
    """What made a run."""

    SCHEDULE = "schedule"
    MANUAL = "manual"
    BACKFILL = "backfill"
    RERUN = "rerun"
    AFTER = "after"
    NOTIFICATION = "notification"
    PING = "ping"  # reported by work that Rota does not run: it has ended already


#: Runs that start although their task is held: somebody asks for them now, or they only report.
STARTS_WHILE_HELD = frozenset({Trigger.MANUAL, Trigger.RERUN, Trigger.PING, Trigger.NOTIFICATION})
