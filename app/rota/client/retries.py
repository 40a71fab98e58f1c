"""Which requests are tried again, and when."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from rota.client.errors import BackPressure, ProblemError, Unreachable
from rota.client.problems import Conflict, QuotaExceeded, RateLimited, RequestTimeout

FIRST_WAIT = 0.1
LONGEST_WAIT = 10.0


class Repeat(Enum):
    """What happens if a request is sent twice."""

    SAFE = auto()  # the same as if it had been sent once
    KEYED = auto()  # the same, by its Idempotency-Key
    UNSAFE = auto()  # its effect may come twice


@dataclass(frozen=True, slots=True)
class Retries:
    """At most `most` further requests after one that failed for a passing reason."""

    most: int = 5

    def wait(self, error: Exception, repeat: Repeat, attempt: int) -> float | None:
        """Return the seconds before request number `attempt` + 1; None if it should not be made.

        `attempt` counts from 1. A wait grows from 0.1 to 10 s with some randomness, or is what Retry-After says.
        """
        if attempt > self.most or not _passes(error, repeat, attempt):
            return None
        if isinstance(error, ProblemError) and error.retry_after is not None:
            return error.retry_after
        return backoff(attempt)


def backoff(attempt: int) -> float:
    """Return the seconds before a further try: half of a doubling span, and a random part of the rest."""
    span = min(FIRST_WAIT * 2.0 ** min(attempt, 20), LONGEST_WAIT)
    return span / 2 + random.uniform(0, span / 2)  # noqa: S311  # spreads clients, protects nothing


def _passes(error: Exception, repeat: Repeat, attempt: int) -> bool:
    if isinstance(error, Conflict) and error.slug == error.type == "conflict":
        # The request before, whose answer was lost, is still being executed.
        return repeat is Repeat.KEYED and attempt > 1
    if isinstance(error, QuotaExceeded):
        return False  # it passes when something ends, not by itself
    return _was_not_done(error) or (repeat is not Repeat.UNSAFE and _is_passing(error))


def _was_not_done(error: Exception) -> bool:
    if isinstance(error, Unreachable):
        return not error.may_be_done
    return isinstance(error, (RateLimited, RequestTimeout))


def _is_passing(error: Exception) -> bool:
    if isinstance(error, ProblemError):
        return isinstance(error, BackPressure) or error.status >= 502
    return isinstance(error, Unreachable)


def may_pass(error: Unreachable | ProblemError) -> bool:
    """Return whether what goes on for long should go on after an error: the service is away, busy or broken."""
    return isinstance(error, (Unreachable, BackPressure)) or error.status >= 500


def pause_after(error: Unreachable | ProblemError, failures: int) -> float:
    """Return the seconds before what goes on tries again, after so many failures: what Retry-After says, or more."""
    wanted = error.retry_after if isinstance(error, ProblemError) else None
    return backoff(failures) if wanted is None else max(wanted, FIRST_WAIT)


def repeat_of(method: str, headers: Mapping[str, str]) -> Repeat:
    """Return what happens if any request is sent twice, by its method and headers."""
    names = {name.lower() for name in headers}
    if "idempotency-key" in names:
        return Repeat.KEYED
    if method.upper() == "POST" or names & {"if-match", "if-none-match"}:
        return Repeat.UNSAFE
    return Repeat.SAFE
