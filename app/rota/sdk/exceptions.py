"""Exceptions with which a handler ends its attempt; otherwise it returns a value."""

from datetime import timedelta

from rota.domain.primitives.times.durations import parse_duration


class Retry(Exception):  # named by what it requests
    """Raise for another attempt `after` seconds, a text such as "5m", a timedelta, or (None) as the policy says."""

    def __init__(
        self,
        after: float | str | timedelta | None = None,
        reason: str = "requested another attempt",
    ) -> None:
        super().__init__(reason)
        self.after = None if after is None else parse_duration(after)
        self.reason = reason


class Fail(Exception):  # named by what it requests
    """Raise to fail the run: no attempt follows."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
