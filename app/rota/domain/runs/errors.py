"""Errors of attempts, bounded in size."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any

_MOST_IN_SHORT = 80


@dataclass(frozen=True, slots=True)
class ErrorResponse:
    """The response of a target to a failed call: selected headers, and the first part of the body as text.

    `body` is None if there was none, or if it is no text; `truncated`: there was more of it.
    """

    status: int
    headers: Mapping[str, str]
    body: str | None
    truncated: bool = False

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "ErrorResponse":
        """Return the answer that a JSON document holds; raises KeyError or TypeError for an invalid one."""
        headers = _checked(document["headers"], dict).items()
        return cls(
            _checked(document["status"], int),
            {_checked(name, str): _checked(value, str) for name, value in headers},
            _checked(document["body"], str, NoneType),
            _checked(document["truncated"], bool),
        )


@dataclass(frozen=True, slots=True)
class RunError:
    """The error of an attempt; `response` is that of the target, if there was one."""

    type: str
    message: str
    traceback: str | None = None
    response: ErrorResponse | None = None

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type

    @property
    def in_short(self) -> str:
        """The error in one line of at most 80 characters."""
        line = str(self).partition("\n")[0]
        return line if len(line) <= _MOST_IN_SHORT else line[: _MOST_IN_SHORT - 1] + "…"

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "RunError":
        """Return the error that a JSON document holds; raises KeyError or TypeError for an invalid one."""
        response = document.get("response")
        return cls(
            _checked(document["type"], str),
            _checked(document["message"], str),
            _checked(document["traceback"], str, NoneType),
            None if response is None else ErrorResponse.of(response),
        )


def _checked(value: Any, *kinds: type) -> Any:
    # By the type itself: true is no status.
    if type(value) not in kinds:
        expected = " or ".join(kind.__name__ for kind in kinds)
        raise TypeError(f"{type(value).__name__} in place of {expected}")
    return value
