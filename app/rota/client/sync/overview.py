"""What happens, happened, and comes: events, alerts, statistics, fire times; and the state of the service."""

# Made by `python -m tests.client.sync_half` from the file of this name in `aio/`: edit that.

from datetime import datetime
from typing import Any

from rota.client import wire
from rota.client.event import Event, event_of
from rota.client.models.operations import Alert, Health, Readiness, Replica
from rota.client.models.planning import Preview
from rota.client.models.stats import EndedHour, StatsReport
from rota.client.models.upcoming import Agenda, ComingHours
from rota.client.parameters import Fields, Texts
from rota.client.sync.pages import Pages
from rota.client.sync.streams import EventSource, Stream
from rota.client.sync.transport import Transport


class _Namespace:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport


class Events(_Namespace):
    """What happens."""

    def listen(
        self, *, task: Texts = None, type: Texts = None, after: str | None = None
    ) -> Stream[Event]:
        """Stream events from now on, or behind the one with the id `after`; it never ends by itself.

        After a break it connects again and goes on where it was. An event of the type `reset` says that some before it
        are not known any more.
        """
        query = {"task": task, "type": type}
        source = EventSource(self._transport, wire.path("events"), query, after=after)
        return Stream(source, event_of)


class Alerts(_Namespace):
    """What is wrong now."""

    def list(
        self, *, task: Texts = None, kind: Texts = None, page_size: int | None = None
    ) -> Pages[Alert]:
        """List the alerts that are raised."""
        query = {"task": task, "kind": kind, "page_size": page_size}
        return Pages(self._transport, wire.path("alerts"), query, Alert)


class Stats(_Namespace):
    """Statistics of many tasks; those of one are `rota.task(name).stats()`."""

    def read(
        self,
        window: str | None = None,
        *,
        task: Texts = None,
        tag: Texts = None,
        from_: datetime | str | None = None,
        to: datetime | str | None = None,
    ) -> StatsReport:
        """Return the statistics of a window (`24h`), or of a span."""
        query = {"window": window, "task": task, "tag": tag, "from": from_, "to": to}
        return StatsReport.of(self._transport.read(wire.path("stats"), query))

    def hours(self, hours: int | None = None) -> list[EndedHour]:
        """Return how many runs have ended in each hour."""
        found = self._transport.read(wire.path("stats", "hours"), {"hours": hours})
        return [EndedHour.of(each) for each in found["items"]]


class Upcoming(_Namespace):
    """What runs next."""

    def read(
        self,
        *,
        task: Texts = None,
        tag: Texts = None,
        until: datetime | str | None = None,
        limit: int | None = None,
    ) -> Agenda:
        """Return the next fire times of all tasks."""
        query = {"task": task, "tag": tag, "until": until, "limit": limit}
        return Agenda.of(self._transport.read(wire.path("upcoming"), query))

    def hours(
        self, *, task: Texts = None, tag: Texts = None, days: int | None = None
    ) -> ComingHours:
        """Return how many runs each of the next hours has."""
        query = {"task": task, "tag": tag, "days": days}
        found = self._transport.read(wire.path("upcoming", "hours"), query)
        return ComingHours.of(found)

    def icalendar(self, *, task: Texts = None, tag: Texts = None, days: int | None = None) -> str:
        """Return the next fire times as an iCalendar text."""
        query = {"task": task, "tag": tag, "days": days}
        reply = self._transport.call("GET", wire.path("upcoming.ics"), query=query)
        return reply.content.decode()


class Schedules(_Namespace):
    """Schedules, without a task."""

    def preview(
        self, schedule: Fields, *, count: int = wire.UNSET, from_: datetime = wire.UNSET
    ) -> Preview:
        """Return the fire times of a schedule, with a sentence that describes it."""
        body = wire.given(schedule=schedule, count=count, from_=from_)
        reply = self._transport.call("POST", wire.path("schedules", "preview"), body=body)
        return Preview.of(reply.fields)


class System(_Namespace):
    """The state of the service."""

    def health(self) -> Health:
        """Return whether it is alive."""
        return Health.of(self._transport.read("/healthz"))

    def ready(self) -> Readiness:
        """Return that it can serve; raises NotReady if it cannot."""
        return Readiness.of(self._transport.read("/readyz"))

    def replicas(self) -> list[Replica]:
        """Return the processes of the service."""
        found = self._transport.read(wire.path("replicas"))
        return [Replica.of(each) for each in found["items"]]

    def metrics(self) -> str:
        """Return the metrics, as Prometheus reads them."""
        return (self._transport.call("GET", "/metrics")).content.decode()

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        return (self._transport.call("GET", "/openapi.json")).fields
