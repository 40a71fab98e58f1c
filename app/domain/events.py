"""Events of the service: how far a listener has been told."""

from dataclasses import dataclass

from app.errors import Fault, Invalid

_LONGEST = 18


@dataclass(frozen=True, slots=True, order=True)
class EventPosition:
    """A commit (`xid`, `id`: in this order), and how many of its events have been told; `told` None: all of them."""

    xid: int = 0
    id: int = 0
    told: int | None = None

    def __str__(self) -> str:
        at = f"{self.xid}-{self.id}"
        return at if self.told is None else f"{at}-{self.told}"

    @property
    def commit(self) -> tuple[int, int]:
        return self.xid, self.id


def read_event_position(id: str | None) -> EventPosition | None:
    """Return the position that the id of an event stands for; raises Invalid if it is none."""
    if not id:
        return None
    parts = id.split("-")
    if len(parts) not in {2, 3} or not all(map(_is_number, parts)):
        raise Invalid(
            "Last-Event-ID: this is not the id of an event.",
            Fault("", "give the id of the last event that you were told, or none", "Last-Event-ID"),
            slug="invalid-header",
        )
    xid, commit, *told = map(int, parts)
    return EventPosition(xid, commit, told[0] if told else None)


def _is_number(part: str) -> bool:
    return part.isascii() and part.isdigit() and len(part) <= _LONGEST
