"""What a handler raises to say how its attempt ends; returning a value is the third way."""

from datetime import timedelta

from rota.domain.primitives.durations import parse_duration


class Retry(Exception):  # it reads as what it asks for
    """Raise to be tried again `after` a while (seconds, text such as "5m", or timedelta; None: as the policy says)."""

    def __init__(
        self,
        after: float | str | timedelta | None = None,
        reason: str = "asked for another attempt",
    ) -> None:
        super().__init__(reason)
        self.after = None if after is None else parse_duration(after)
        self.reason = reason


class Fail(Exception):  # it reads as what it asks for
    """Raise to fail for good: no attempt follows."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
