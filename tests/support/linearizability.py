"""A checker of histories of a register: is there an order of the operations that explains what everybody saw?

Wing and Gong's search with Lowe's cache of what was tried ("Testing for linearizability", 2017), as Porcupine does
it: an operation can come next if it was called before the first one left had returned.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

State = str | None
#: What an operation makes of a state; raises Impossible if it cannot have been in that state.
Step = Callable[[State], State]


class Impossible(Exception):
    """The operation cannot have met this state."""


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation on one register, from when it was called until when it had returned (any clock)."""

    called: int
    returned: int
    step: Step
    label: str


class _Event:
    """A call, or (`call` set) a return, in a list from which operations are lifted and put back."""

    __slots__ = ("back", "call", "following", "index", "operation", "previous")

    def __init__(self, operation: Operation, index: int, call: "_Event | None") -> None:
        self.operation = operation
        self.index = index
        self.call = call
        self.back: _Event | None = None
        self.previous: _Event | None = None
        self.following: _Event | None = None

    def lift(self) -> None:
        """Take the call and its return out of the list."""
        for event in (self, self.back):
            assert event is not None
            assert event.previous is not None
            event.previous.following = event.following
            if event.following is not None:
                event.following.previous = event.previous

    def put_back(self) -> None:
        """Undo the last lift."""
        for event in (self.back, self):
            assert event is not None
            assert event.previous is not None
            event.previous.following = event
            if event.following is not None:
                event.following.previous = event


def unexplained(history: Sequence[Operation], start: State = None) -> Operation | None:
    """Return None if the history is linearizable, else the operation that no order explains."""
    head = _linked(history)
    done, state = 0, start
    tried: set[tuple[int, State]] = set()
    chosen: list[tuple[_Event, State]] = []
    stuck: tuple[int, Operation | None] = (-1, None)
    event = head.following
    while head.following is not None:
        assert event is not None
        if event.call is None and (after := _after(event, state)) is not _NONE:
            seen = (done | 1 << event.index, cast("State", after))
            if seen not in tried:
                tried.add(seen)
                chosen.append((event, state))
                done, state = seen
                event.lift()
                event = head.following
                continue
        if event.call is None:
            event = event.following
            continue
        # Its operation had to come before this return, and could not.
        if len(chosen) > stuck[0]:
            stuck = len(chosen), event.operation
        if not chosen:
            return stuck[1]
        event, state = chosen.pop()
        done &= ~(1 << event.index)
        event.put_back()
        event = event.following
    return None


_NONE = object()


def _after(event: _Event, state: State) -> object:
    try:
        return event.operation.step(state)
    except Impossible:
        return _NONE


def _linked(history: Sequence[Operation]) -> _Event:
    head = _Event(Operation(0, 0, lambda state: state, "head"), -1, None)
    ends: list[tuple[int, int, _Event]] = []
    for index, operation in enumerate(history):
        call = _Event(operation, index, None)
        call.back = _Event(operation, index, call)
        # At the same time a call comes first: the two may have overlapped.
        ends += [(operation.called, 0, call), (operation.returned, 1, call.back)]
    previous = head
    for _, _, event in sorted(ends, key=lambda end: end[:2]):
        previous.following, event.previous = event, previous
        previous = event
    return head
