"""Events of alerts as the task that is notified gets them: a type, a time, and what is known of the task and run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rota.domain.alerts.events import AlertEvent

#: The type of what a notifier sends when it is run by hand, with no event.
TEST_TYPE = "alert.test"


@dataclass(frozen=True, slots=True)
class Event:
    """The envelope of an event. It is an input, which anybody may have written: no field of `data` is certain."""

    type: str
    timestamp: str
    data: Mapping[str, Any]

    @property
    def known_type(self) -> AlertEvent | None:
        """The type, if it is one that this version makes."""
        kind, _, what = self.type.partition(".")
        return AlertEvent(what) if kind == "alert" and what in set(AlertEvent) else None

    @property
    def run(self) -> Mapping[str, Any]:
        """What is known of the run; empty if there is none."""
        return document(self.data.get("run"))


def document(value: Any) -> Mapping[str, Any]:
    """Return a JSON object; empty for any other value."""
    return value if isinstance(value, Mapping) else {}
