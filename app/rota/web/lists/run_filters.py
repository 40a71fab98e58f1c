"""The filters of runs, as they are in the URL of a page: for lists, groups of failures and bulk operations."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from rota.domain.primitives.times.durations import parse_duration
from rota.domain.primitives.times.instants import format_instant
from rota.domain.runs.status import FINAL
from rota.domain.schedules.requested_times import parse_requested_time

#: Filters of `GET /v1/runs`, by the names that they have there, with their labels.
LABELS: Final = {
    "task": "Task",
    "tag": "Tag",
    "all_tags": "All tags",
    "status": "Status",
    "reason": "Reason",
    "error": "Type of error",
    "error_text": "Text in the error",
    "trigger": "Trigger",
    "chain_id": "Chain",
    "backfill_id": "Backfill",
    "scheduled_from": "Scheduled from",
    "scheduled_to": "Scheduled to",
    "finished_from": "Ended from",
    "finished_to": "Ended to",
}
WINDOW: Final = "window"
#: Filters that bulk operations do not have.
_NOT_IN_BULK: Final = frozenset({"chain_id", "backfill_id"})
_LISTS: Final = {
    "task": "task",
    "tag": "tags",
    "all_tags": "all_tags",
    "status": "status",
    "reason": "reason",
    "error": "error",
    "trigger": "trigger",
}
_TIMES: Final = ("scheduled_from", "scheduled_to", "finished_from", "finished_to")


class WrongWindowError(ValueError):
    """The length of the window is none."""


@dataclass(frozen=True, slots=True)
class RunFilters:
    """The filters of a page that are not empty; `window` is a length of time that ends now."""

    given: Mapping[str, str]

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> "RunFilters":
        """Return the filters among the parameters of a URL, or the fields of a form."""
        names = (*LABELS, WINDOW)
        return cls({name: parameters[name].strip() for name in names if parameters.get(name)})

    @property
    def window(self) -> str | None:
        """The length of the window."""
        return self.given.get(WINDOW)

    @property
    def bounds(self) -> str:
        """What the window bounds: when runs ended, if only ended ones are wanted, else when they were due."""
        statuses = set(self.given.get("status", "").split(","))
        return "finished" if statuses <= FINAL else "scheduled"

    @property
    def is_for_bulk(self) -> bool:
        """Whether a bulk operation has all of these filters."""
        return not _NOT_IN_BULK & self.given.keys()

    def asked(self, now: datetime) -> dict[str, str]:
        """Return the parameters for the API, with the window as a time; raises WrongWindowError."""
        asked = {name: value for name, value in self.given.items() if name != WINDOW}
        if self.window is not None:
            asked.setdefault(f"{self.bounds}_from", format_instant(now - _length(self.window)))
        return asked

    def selector(self, now: datetime, timezone: str | None) -> dict[str, Any]:
        """Return the selector of a bulk operation; local times are on the clock of a zone. Raises ValueError."""
        asked = self.asked(now)
        chosen: dict[str, Any] = {
            field: [each for each in asked[name].split(",") if each]
            for name, field in _LISTS.items()
            if name in asked
        }
        if "error_text" in asked:
            chosen["error_text"] = asked["error_text"]
        chosen |= {name: _time(name, asked[name], timezone) for name in _TIMES if name in asked}
        return chosen or {"all": True}

    def query(self, **changed: str | None) -> str:
        """Return the query of a URL with these filters, some of them changed; None removes one."""
        kept = {name: value for name, value in {**self.given, **changed}.items() if value}
        return urlencode(kept)


def _length(window: str) -> timedelta:
    try:
        return parse_duration(float(window) if window.isdecimal() else window)
    except (ValueError, OverflowError) as error:
        raise WrongWindowError(f"The window: {error}. Write 1h, 24h or 7d.") from None


def _time(name: str, given: str, timezone: str | None) -> str:
    requested = parse_requested_time(given, timezone)
    return format_instant(requested.last if name.endswith("_to") else requested.start)
