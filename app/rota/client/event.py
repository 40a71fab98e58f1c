"""Events of the service."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rota.client import wire
from rota.client.errors import InvalidResponse
from rota.client.models.runs import LogLine
from rota.client.sse import ServerSentEvent


@dataclass(frozen=True, slots=True)
class Event:
    """What has happened; with `id` as `after` a later stream goes on behind it.

    The types `reset` and `kv.reset` mean that events before it are not known any more: read the state again.
    """

    type: str
    timestamp: datetime
    data: Mapping[str, Any]
    id: str | None


def event_of(sent: ServerSentEvent) -> Event:
    """Return an event in the envelope of Rota; raises InvalidResponse for another one."""
    try:
        document = wire.decode(sent.data.encode())
        timestamp = datetime.fromisoformat(document["timestamp"])
        return Event(document["type"], timestamp, document["data"], sent.id)
    except (ValueError, KeyError, TypeError):
        raise InvalidResponse(f"The event is not one of Rota: {sent.data[:100]!r}") from None


def log_line_of(sent: ServerSentEvent) -> LogLine:
    """Return the line of an event of followed logs."""
    return LogLine.of(event_of(sent).data)
