"""Errors of attempts, bounded in size."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import NoneType
from typing import Any

from rota.domain.http_target.phases import CallPhase

_MOST_IN_SHORT = 80


@dataclass(frozen=True, slots=True)
class ErrorResponse:
    """The response of a target to a failed call: selected headers, and the first part of the body as text.

    `body` is None if there was none, or if it is no text; `truncated`: there was more of it. `url_path`: the path that
    was asked, without its query; None in what older versions stored.
    """

    status: int
    headers: Mapping[str, str]
    body: str | None
    truncated: bool = False
    url_path: str | None = None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "ErrorResponse":
        """Return the answer that a JSON document holds; raises KeyError or TypeError for an invalid one."""
        headers = _checked(document["headers"], dict).items()
        return cls(
            _checked(document["status"], int),
            {_checked(name, str): _checked(value, str) for name, value in headers},
            _checked(document["body"], str, NoneType),
            _checked(document["truncated"], bool),
            _checked(document.get("url_path"), str, NoneType),
        )


@dataclass(frozen=True, slots=True)
class RunError:
    """The error of an attempt.

    Of an `http` task: `response` of the target, if there was one; the `phase` in which the call failed without one; and
    `timings`, the seconds of each phase.
    """

    type: str
    message: str
    traceback: str | None = None
    response: ErrorResponse | None = None
    # Errors that differ in what was measured only are equal.
    phase: CallPhase | None = field(default=None, compare=False)
    timings: Mapping[str, float] | None = field(default=None, compare=False)

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
        response, phase = document.get("response"), document.get("phase")
        return cls(
            _checked(document["type"], str),
            _checked(document["message"], str),
            _checked(document["traceback"], str, NoneType),
            None if response is None else ErrorResponse.of(response),
            None if phase is None else CallPhase(phase),
            _timings(document.get("timings")),
        )


def _timings(document: Any) -> Mapping[str, float] | None:
    if document is None:
        return None
    return {
        CallPhase(name).value: float(_checked(seconds, float, int))
        for name, seconds in _checked(document, dict).items()
    }


def _checked(value: Any, *kinds: type) -> Any:
    # By the type itself: true is no status.
    if type(value) not in kinds:
        expected = " or ".join(kind.__name__ for kind in kinds)
        raise TypeError(f"{type(value).__name__} in place of {expected}")
    return value
