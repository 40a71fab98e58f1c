"""The operations of an outcome document, as changes of an attempt to its task's kv."""

from typing import assert_never

from rota.domain.kv.draft import KvDraft
from rota.domain.kv.operation_requests import (
    AppendIn,
    CheckIn,
    DeleteIn,
    ExpireIn,
    IncrementIn,
    MaxIn,
    OperationIn,
    SetIn,
    SetOnceIn,
)


def reads_entries(operation: OperationIn) -> bool:
    """Return whether an operation depends on the entry that is there."""
    match operation:
        case SetIn() | DeleteIn():
            return False
        case SetOnceIn() | ExpireIn() | IncrementIn() | AppendIn() | MaxIn() | CheckIn():
            return True
        case _:
            assert_never(operation)


def draft_write(draft: KvDraft, operation: OperationIn) -> None:
    """Add an operation to a draft, which is loaded if the operation reads entries.

    Raises CheckFailed, or another AppError if the operation is not possible.
    """
    match operation:
        case SetIn():
            draft.set(operation.key, operation.value, operation.ttl)
        case SetOnceIn():
            draft.set_once(operation.key, operation.value, operation.ttl)
        case DeleteIn():
            draft.delete(operation.key)
        case ExpireIn():
            draft.expire(operation.key, operation.ttl)
        case IncrementIn() | AppendIn() | MaxIn():
            draft.commute(operation.operation(draft.limit))
        case CheckIn():
            draft.check(operation.operation(draft.limit))
        case _:
            assert_never(operation)
