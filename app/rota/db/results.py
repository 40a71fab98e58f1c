"""What becomes of commands that a thread waits for."""

import threading
from typing import Any, Generic, TypeVar

R = TypeVar("R")


class Reply(Generic[R]):
    """What became of one of several commands. A future each, with its lock, would cost more than the commit's share."""

    __slots__ = ("_error", "_value")

    def settle(self, value: Any, error: BaseException | None) -> None:
        self._value, self._error = value, error

    def exception(self) -> BaseException | None:
        return self._error

    def result(self) -> R:
        """Return the answer; raises what the command raised, or Unavailable."""
        if self._error is not None:
            raise self._error
        value: R = self._value
        return value


class Countdown:
    """Lets a thread wait until the writer, which is one thread, has settled so many answers."""

    def __init__(self, number: int) -> None:
        self._left = number
        self._all_settled = threading.Event()

    def settle(self, of: Reply[Any], value: Any, error: BaseException | None) -> None:
        of.settle(value, error)
        self._left -= 1
        if not self._left:
            self._all_settled.set()

    def wait(self) -> None:
        self._all_settled.wait()
