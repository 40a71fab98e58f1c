"""What is asked about operations: whether they need, keep or compute the value, and whether they write the key."""

from typing import assert_never

from rota.domain.kv.operations import (
    Append,
    Check,
    Delete,
    Expire,
    Increment,
    Max,
    Operation,
    Set,
    SetOnce,
)


def needs_value(operation: Operation) -> bool:
    """Return whether the outcome depends on the value that is there."""
    match operation:
        case Set() | Delete():
            return False
        case SetOnce() | Expire() | Increment() | Append() | Max() | Check():
            return True
        case _:
            assert_never(operation)


def writes_key(operation: Operation) -> bool:
    """Return whether the operation may leave an entry under its key, so that its key must be a valid one.

    An entry whose key can no longer be written can still be checked and deleted.
    """
    match operation:
        case Set() | SetOnce() | Expire() | Increment() | Append() | Max():
            return True
        case Delete() | Check():
            return False
        case _:
            assert_never(operation)


def keeps_value(operation: Operation) -> bool:
    """Return whether an entry has the same value after the operation: no schema applies to it then."""
    match operation:
        case Expire() | Check():
            return True
        case Set() | SetOnce() | Delete() | Increment() | Append() | Max():
            return False
        case _:
            assert_never(operation)


def computes_value(operation: Operation) -> bool:
    """Return whether the new value is computed from the one that is there, so that no request has it."""
    match operation:
        case Increment() | Append():
            return True
        case Set() | SetOnce() | Delete() | Expire() | Max() | Check():
            return False
        case _:
            assert_never(operation)
