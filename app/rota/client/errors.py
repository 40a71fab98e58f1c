"""What a call of the client raises:

RotaError
├── Unreachable         there was no answer
├── ProblemError        the service refused it; one class for each type of problem, in `problems`
│   └── BackPressure    later, please: `retry_after` says when
├── InvalidResponse     what answered is no Rota
├── RunNotSucceeded     the run whose result was asked for has ended otherwise
└── ResultTimeout       the run has not ended in time
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from rota.client.models.runs import Run


class RotaError(Exception):
    """The root of all errors of the client."""


class Unreachable(RotaError):
    """There was no answer: no connection, a broken one, or a timeout.

    `may_be_done`: the request may have arrived, and been executed.
    """

    def __init__(self, detail: str, *, may_be_done: bool = False) -> None:
        super().__init__(detail)
        self.may_be_done = may_be_done


class InvalidResponse(RotaError):
    """The answer is not one that Rota gives: probably something else listens at this address."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a request: `pointer` (RFC 6901) into the body, or `parameter`; `detail` says what would be right."""

    detail: str
    pointer: str | None = None
    parameter: str | None = None


class ProblemError(RotaError):
    """The service refused the request, and its problem document (RFC 9457) says why.

    `type` is the short name (`unknown-handler`), `errors` are the faults, `members` the whole document, in which a
    409 and a 412 show what exists instead.
    """

    #: The type of problem that the class stands for.
    slug: ClassVar[str | None] = None

    def __init__(
        self,
        status: int,
        document: Mapping[str, Any],
        retry_after: float | None = None,
    ) -> None:
        """`retry_after`: the seconds of the header Retry-After."""
        self.status = status
        self.members = document
        self.type = str(document.get("type", "about:blank")).rpartition("/")[2]
        self.title = str(document.get("title", f"HTTP {status}"))
        self.detail = str(document.get("detail", self.title))
        self.errors = tuple(_faults(document.get("errors")))
        self.errors_omitted = _count(document.get("errors_omitted"))
        self.request_id: str | None = document.get("request_id")
        self.retry_after = retry_after
        #: The answer to an earlier request of the same call was lost, which may have been executed.
        self.may_be_done = False
        super().__init__(status, document, retry_after)  # also what `pickle` makes it from

    def __str__(self) -> str:
        more = [f"\n  {fault.pointer or fault.parameter}: {fault.detail}" for fault in self.errors]
        return f"{self.detail}{''.join(more) if len(more) > 1 else ''}"


class BackPressure(ProblemError):
    """The service is busy, or the key has used up what it may: try again after `retry_after` seconds."""


class RunNotSucceeded(RotaError):
    """The run has ended, but not as succeeded; `run` is the run."""

    def __init__(self, run: "Run") -> None:
        super().__init__(run)
        self.run = run

    def __str__(self) -> str:
        why = f" ({self.run.reason})" if self.run.reason else ""
        error = f": {self.run.error.type}: {self.run.error.message}" if self.run.error else ""
        return (
            f"The run {self.run.id} of {self.run.task!r} has {_ENDS[self.run.status]}{why}{error}"
        )


class RunFailed(RunNotSucceeded):
    """The run has failed; `run.error` says why."""


class RunCancelled(RunNotSucceeded):
    """The run was cancelled; `run.reason` says why."""


class RunSkipped(RunNotSucceeded):
    """The run was skipped; `run.reason` says why."""


class ResultTimeout(RotaError, TimeoutError):
    """The run has not ended in time; it goes on."""


_ENDS = {"failed": "failed", "cancelled": "been cancelled", "skipped": "been skipped"}
_BY_STATUS = {"failed": RunFailed, "cancelled": RunCancelled, "skipped": RunSkipped}


def not_succeeded(run: "Run") -> RunNotSucceeded:
    """Return the error for a run that has ended, but not as succeeded."""
    return _BY_STATUS.get(run.status, RunNotSucceeded)(run)


def _faults(documents: Any) -> Iterator[Fault]:
    """Yield the faults of a problem; what is not one of Rota may have anything in this place."""
    for each in documents if isinstance(documents, list) else ():
        if isinstance(each, dict):
            yield Fault(str(each.get("detail")), each.get("pointer"), each.get("parameter"))


def _count(given: Any) -> int:
    return given if isinstance(given, int) else 0
