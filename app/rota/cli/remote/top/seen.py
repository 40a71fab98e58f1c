"""What there is to draw: what is looked at, what was seen of it, and the room for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from rota.cli.remote.top.snapshot import Snapshot


class Size(NamedTuple):
    """Cells and lines of a terminal; None: as many as are needed."""

    width: int | None
    height: int | None


@dataclass(frozen=True, slots=True)
class Subject:
    """What is looked at: where the service is, the tags of the tasks, and how often (seconds; None: once)."""

    url: str
    tags: Sequence[str] = ()
    interval: float | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a service.

    `snapshot`: the last one. `error`: why there has been none since then. `asked_at`: when an answer began to be waited
    for, None while none is.
    """

    snapshot: Snapshot | None = None
    error: str | None = None
    asked_at: datetime | None = None
