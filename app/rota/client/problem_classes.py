"""Which class of `problems` an answer is raised as."""

from collections.abc import Mapping
from typing import Any

from rota.client.errors import ProblemError
from rota.client.problems import (
    Conflict,
    Forbidden,
    Invalid,
    MethodNotAllowed,
    NotFound,
    PreconditionFailed,
    RateLimited,
    TooLarge,
    Unauthorized,
    Unavailable,
)


def _classes(base: type[ProblemError]) -> dict[str, type[ProblemError]]:
    own = {base.slug: base} if base.slug is not None and "slug" in vars(base) else {}
    return own | {
        slug: kind for each in base.__subclasses__() for slug, kind in _classes(each).items()
    }


#: type of problem -> its class
PROBLEMS: Mapping[str, type[ProblemError]] = _classes(ProblemError)

# What a proxy in between has answered has no type.
_BY_STATUS: Mapping[int, type[ProblemError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    405: MethodNotAllowed,
    409: Conflict,
    412: PreconditionFailed,
    413: TooLarge,
    422: Invalid,
    429: RateLimited,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def problem_of(
    status: int, document: Mapping[str, Any], retry_after: float | None = None
) -> ProblemError:
    """Return the error for an answer of 400 and above; that of its status, if its type is a newer one."""
    slug = str(document.get("type", "")).rpartition("/")[2]
    kind = PROBLEMS.get(slug) or _BY_STATUS.get(status, ProblemError)
    return kind(status, document, retry_after)
