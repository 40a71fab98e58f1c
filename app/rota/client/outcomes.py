"""How the handler of a worker ends its attempt, as the document that is sent."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from rota.client.entries.draft import Operation

_LONGEST_REASON = 500


class Retry(Exception):
    """Raise for another attempt `after` seconds, a text such as "5m", a timedelta, or (None) as the task says."""

    def __init__(
        self,
        after: float | str | timedelta | None = None,
        reason: str = "requested another attempt",
    ) -> None:
        super().__init__(reason)
        self.after = after
        self.reason = reason


class Fail(Exception):
    """Raise to fail the run: no attempt follows."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


Outcome = dict[str, Any]


def success(result: Any, operations: Sequence[Operation]) -> Outcome:
    """Return the outcome of a handler that has returned."""
    return {"result": result} | ({"kv": list(operations)} if operations else {})


def failure(error: BaseException) -> Outcome:
    """Return the outcome of a handler that has raised; `Retry` and `Fail` may also be those of `rota`."""
    kind = type(error).__name__
    if kind == "Fail" and hasattr(error, "reason"):
        return {"fail": {"reason": _short(error.reason)}}
    if kind == "Retry" and hasattr(error, "reason"):
        return retry(error.reason, getattr(error, "after", None))
    return retry(f"{kind}: {error}")


def retry(reason: str, after: float | str | timedelta | None = None) -> Outcome:
    """Return the outcome that requests another attempt."""
    return {"retry": {"reason": _short(reason)} | ({} if after is None else {"after": after})}


def refused(detail: str) -> Outcome:
    """Return the outcome of an attempt whose own one the service does not take."""
    return {"fail": {"reason": _short(f"the outcome was refused: {detail}")}}


def _short(text: str) -> str:
    text = text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}…"
