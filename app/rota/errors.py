"""The errors that callers can act on, as a tree:

AppError
├── Invalid             the content is wrong; faults say where
│   ├── MalformedJson   not JSON
│   └── NotJson         a value that JSON cannot represent
├── NotFound            no such task, run, entry, handler
├── Conflict            the current state does not allow it
│   └── Unplannable     a stored schedule yields no fire times any more
│       └── TooCostly   its fire times take more steps to compute than are allowed
├── Forbidden           the client may not do this
├── PreconditionFailed  it was changed after the caller read it
├── TooLarge            over a limit, which the error names
├── RateLimited         too many requests of one client; try again later
│   └── QuotaExceeded   as much as the client may have at a time
├── Unavailable         try again later
│   ├── InUse           another process uses the SQLite file
│   └── Locked          another transaction is changing the same rows
├── Sealed              a stored value cannot be decrypted
└── LeaseLost           the attempt does not hold its run any more
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

#: How many faults an error lists: a request can have as many as it has bytes.
MOST_FAULTS = 20


@dataclass(frozen=True, slots=True)
class Fault:
    """One error in a request: `pointer` (RFC 6901) or `parameter` says where, `detail` what would be right."""

    pointer: str
    detail: str
    #: The name of the wrong query parameter, path parameter or header.
    parameter: str | None = None

    @property
    def sentence(self) -> str:
        """The whole, to be read without the fields."""
        return sentence(f"{self.pointer}: {self.detail}")


def sentence(text: str) -> str:
    """Return a text with a full stop, unless it ends as a question does (`did you mean 'x'?`)."""
    return text if text.endswith("?") else f"{text}."


class AppError(Exception):
    """What is wrong (`detail`), where (`faults`) and the current state (`present`).

    `omitted`: the number of faults beyond those in `faults`.
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


class Forbidden(AppError):
    slug = "forbidden"
    title = "Not allowed"


class PreconditionFailed(AppError):
    slug = "precondition-failed"
    title = "It was changed since you read it"


class TooLarge(AppError):
    slug = "too-large"
    title = "Too large"


class RateLimited(AppError):
    """`retry_after`: in how many seconds to try again, at least 1."""

    slug = "rate-limited"
    title = "Too many requests"

    def __init__(
        self, detail: str, *, retry_after: int, present: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(detail, present=present)
        self.retry_after = max(retry_after, 1)


class QuotaExceeded(RateLimited):
    slug = "quota-exceeded"
    title = "The quota of this key is used up"


class Unavailable(AppError):
    slug = "unavailable"
    title = "Not able to serve just now"


class InUse(Unavailable):
    """Another process uses the SQLite file."""


class Locked(Unavailable):
    """Another transaction has locked what one command needs; other commands are not affected."""


class Sealed(AppError):
    slug = "sealed"
    title = "A stored value cannot be decrypted"


class LeaseLost(AppError):
    slug = "lease-lost"
    title = "The attempt is not held any more"
