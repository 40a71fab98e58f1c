"""A snapshot of a service: one answer to each of a few cheap requests, whatever the size of the service."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from rota.cli.remote.service import Service, at
from rota.cli.remote.text.times import wire
from rota.client.problems import Forbidden, NotFound, NotReady

#: How far back failed runs are shown.
FAILED_WITHIN: Final = timedelta(days=1)
_MOST_RUNS, _MOST_FAILED, _MOST_UPCOMING = 100, 50, 200
_MOST_QUEUES, _MOST_OTHERS = 200, 50


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """The documents that the service answered with, by what they are about; None: the key may not read it."""

    at: datetime
    ready: Mapping[str, Any]
    lists: Mapping[str, Mapping[str, Any] | None]

    @property
    def document(self) -> dict[str, Any]:
        """All of it, as JSON."""
        return {"ready": self.ready, **self.lists}


def snapshot(service: Service, tags: Sequence[str], now: datetime) -> Snapshot:
    """Ask the service for all that a screen shows; raises RotaError."""
    ready = _readiness(service)
    asked = _lists(tags, now)
    return Snapshot(
        now, ready, {name: _list(service, path, query) for name, (path, query) in asked.items()}
    )


def _lists(tags: Sequence[str], now: datetime) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return the lists to ask for, by the names under which they are shown."""
    tagged = {"tag": list(tags)} if tags else {}
    unfinished = {"limit": _MOST_RUNS, **tagged}
    begun, since = wire(now), wire(now - FAILED_WITHIN)
    runs = at("runs")
    return {
        "replicas": (at("replicas"), {}),
        "running": (runs, {"status": "running", "total": True, **unfinished}),
        # Not those that are to wait until later. They are not counted: of many that takes longer than all the rest.
        "waiting": (runs, {"status": "queued,blocked", "scheduled_to": begun, **unfinished}),
        # By their fire times: an index ends the search, however few have failed among very many runs.
        "failed": (
            runs,
            {"status": "failed", "scheduled_from": since, "limit": _MOST_FAILED, **tagged},
        ),
        "upcoming": (at("upcoming"), {"limit": _MOST_UPCOMING, **tagged}),
        "queues": (at("queues"), {"limit": _MOST_QUEUES}),
        "alerts": (at("alerts"), {"limit": _MOST_OTHERS}),
        "holds": (at("holds"), {"limit": _MOST_OTHERS}),
    }


def _readiness(service: Service) -> Mapping[str, Any]:
    """Return whether the service is ready; of one that is not, the problem that says why."""
    try:
        found: Mapping[str, Any] = service.get("/readyz")
    except NotReady as error:
        return {**error.members, "status": "not ready"}
    return found


def _list(service: Service, path: str, query: Mapping[str, Any]) -> Mapping[str, Any] | None:
    try:
        found: Mapping[str, Any] = service.get(path, **query)
    except (Forbidden, NotFound):  # a key without the scope, or with a limit; an older service
        return None
    return found
