"""Waiting for the end of a run: by the events of its task, and by reading it now and then."""

# Made by `python -m tests.client.sync_half` from the file of this name in `aio/`: edit that.

import math
from contextlib import closing

from rota.client import wire
from rota.client.models.runs import Run
from rota.client.sync.streams import EventSource
from rota.client.sync.transport import Transport
from rota.client.timing import Deadline, deadline

FINAL = frozenset({"succeeded", "failed", "cancelled", "skipped"})
# Nothing is heard for so long: the run is read, since a proxy may hold events back. Soon at first, then seldom.
_SILENCES = (2.0, 5.0, 10.0, 20.0)
# The seconds that a request may take in any case: also who does not wait at all wants to know how the run is.
_LEAST = 1.0


def wait_for_end(transport: Transport, id: str, seconds: float | None) -> Run | None:
    """Return a run once it has ended; None if it has not within `seconds`."""
    until = deadline(seconds)
    run = _read(transport, id, until)
    if run.status in FINAL:
        return run
    source = _ends(transport, run.task, until)
    with closing(source.moments()) as moments:
        for event in moments:
            # None: the stream has begun, was broken, or is silent. What happened before its begin has no event.
            if event is None or run.id in event.data:
                run = _read(transport, id, until)
                if run.status in FINAL:
                    return run
            if until.is_over:
                return None
    raise AssertionError("the stream does not end")


def _read(transport: Transport, id: str, until: Deadline) -> Run:
    path = wire.path("runs", id)
    return Run.of(transport.read(path, within=max(until.left, _LEAST)))


def _ends(transport: Transport, task: str, until: Deadline) -> EventSource:
    connections = iter(_SILENCES)

    def silence() -> float:
        return max(min(next(connections, _SILENCES[-1]), until.left), 0.05)

    query = {"task": task, "type": "run.*"}
    return EventSource(
        transport, wire.path("events"), query, silence=silence, first_tries=math.inf, until=until
    )
