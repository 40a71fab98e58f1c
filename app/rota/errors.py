"""The errors that callers can act on, as a tree:

AppError
├── Invalid             the content is wrong; faults say where
│   ├── MalformedJson   not JSON at all
│   └── NotJson         a value that JSON cannot carry
├── NotFound            no such task, run, entry, handler
├── Conflict            the present state does not allow it
│   └── Unplannable     a stored schedule yields no fire times any more
│       └── TooCostly   its fire times take more steps to find than are allowed
├── PreconditionFailed  it was changed since the caller read it
├── TooLarge            over a limit, which the error names
├── Unavailable         try again later
│   └── Locked          somebody else is changing just this
├── Sealed              the key that a stored value is encrypted with is not there
└── LeaseLost           the attempt is not ours any more
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

#: How many faults an error tells: a request can have as many as it has bytes.
MOST_FAULTS = 20


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: `pointer` (RFC 6901) or `parameter` says where, `detail` what would be right."""

    pointer: str
    detail: str
    #: The name of the query parameter, the part of the path or the header that is wrong.
    parameter: str | None = None


class AppError(Exception):
    """What was wrong (`detail`), where (`faults`) and what is there instead (`present`).

    `omitted` is how many more faults there are than those in `faults`.
    """

    slug: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something went wrong"

    def __init__(
        self,
        detail: str,
        *faults: Fault,
        slug: str | None = None,
        present: Mapping[str, Any] | None = None,
        omitted: int = 0,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.faults: Sequence[Fault] = faults[:MOST_FAULTS]
        self.omitted = omitted + len(faults[MOST_FAULTS:])
        self.present: Mapping[str, Any] = present or {}
        if slug is not None:
            self.slug = slug  # type: ignore[misc]  # one error class, several documented problems


class Invalid(AppError):
    slug = "invalid"
    title = "The content is not valid"


class MalformedJson(Invalid):
    slug = "malformed-json"
    title = "The body is not JSON"


class NotJson(Invalid):
    slug = "unacceptable-json"
    title = "The value cannot be kept as JSON"


class NotFound(AppError):
    slug = "not-found"
    title = "Not found"


class Conflict(AppError):
    slug = "conflict"
    title = "Not possible in the present state"


class Unplannable(Conflict):
    slug = "unplannable"
    title = "The stored schedule cannot be planned"


class TooCostly(Unplannable):
    title = "The fire times of the schedule are too costly to find"


class PreconditionFailed(AppError):
    slug = "precondition-failed"
    title = "It was changed since you read it"


class TooLarge(AppError):
    slug = "too-large"
    title = "Too large"


class Unavailable(AppError):
    slug = "unavailable"
    title = "Not able to serve just now"


class Locked(Unavailable):
    """What one command needs is in other hands; it is no sign that the others would not be served."""


class Sealed(AppError):
    slug = "sealed"
    title = "A stored value cannot be decrypted"


class LeaseLost(AppError):
    slug = "lease-lost"
    title = "The attempt is not held any more"
