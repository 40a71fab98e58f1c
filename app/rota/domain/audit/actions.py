"""What the audit log records: actions of clients, and the kinds of what they change."""

from enum import StrEnum


class Action(StrEnum):
    """What a client did. The part before the dot is the kind of what it did that to."""

    TASK_REGISTERED = "task.registered"  # POST /v1/tasks, and batches
    TASK_DECLARED = "task.declared"  # PUT
    TASK_CHANGED = "task.changed"  # PATCH
    TASK_PAUSED = "task.paused"
    TASK_RESUMED = "task.resumed"
    TASK_CANCELLED = "task.cancelled"
    TASK_DELETED = "task.deleted"
    RUN_REQUESTED = "run.requested"
    RUN_REPEATED = "run.repeated"
    RUN_CANCELLED = "run.cancelled"
    BACKFILL_BEGUN = "backfill.begun"
    BACKFILL_CANCELLED = "backfill.cancelled"
    BULK_BEGUN = "bulk.begun"  # on runs; for each run there is no entry
    BULK_CANCELLED = "bulk.cancelled"
    KV_SET = "kv.set"
    KV_DELETED = "kv.deleted"
    KV_CHANGED = "kv.changed"  # a transaction
    KV_IMPORTED = "kv.imported"
    KV_REVERTED = "kv.reverted"
    QUEUE_SET = "queue.set"
    QUEUE_RESET = "queue.reset"
    HOLD_SET = "hold.set"
    HOLD_ENDED = "hold.ended"  # DELETE
    CALENDAR_DECLARED = "calendar.declared"
    CALENDAR_REMOVED = "calendar.removed"
    HANDLER_DECLARED = "handler.declared"
    HANDLER_REMOVED = "handler.removed"
    SECRET_DECLARED = "secret.declared"  # noqa: S105  # its name
    SECRET_ROTATED = "secret.rotated"  # noqa: S105  # its name
    SECRET_REMOVED = "secret.removed"  # noqa: S105  # its name
    KEY_CREATED = "key.created"
    KEY_ROTATED = "key.rotated"
    KEY_REVOKED = "key.revoked"


class Kind(StrEnum):
    """What a change is made to; a `kv` is the table of the task of its name."""

    TASK = "task"
    RUN = "run"
    BACKFILL = "backfill"
    BULK = "bulk"
    KV = "kv"
    QUEUE = "queue"
    HOLD = "hold"
    CALENDAR = "calendar"
    HANDLER = "handler"
    SECRET = "secret"  # noqa: S105  # its name
    KEY = "key"
