"""What happens, happened, and comes: events, alerts, statistics, fire times; and the state of the service."""

from datetime import datetime
from typing import Any

from rota.client import wire
from rota.client.aio.pages import AsyncPages
from rota.client.aio.streams import AsyncEventSource, AsyncStream
from rota.client.aio.transport import AsyncTransport
from rota.client.event import Event, event_of
from rota.client.models.operations import Alert, Health, Readiness, Replica
from rota.client.models.planning import Preview
from rota.client.models.stats import EndedHour, StatsReport
from rota.client.models.upcoming import Agenda, ComingHours
from rota.client.parameters import Fields, Texts


class _Namespace:
    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport


class AsyncEvents(_Namespace):
    """What happens."""

    def listen(
        self, *, task: Texts = None, type: Texts = None, after: str | None = None
    ) -> AsyncStream[Event]:
        """Stream events from now on, or behind the one with the id `after`; it never ends by itself.

        After a break it connects again and goes on where it was. An event of the type `reset` says that some before it
        are not known any more.
        """
        query = {"task": task, "type": type}
        source = AsyncEventSource(self._transport, wire.path("events"), query, after=after)
        return AsyncStream(source, event_of)


class AsyncAlerts(_Namespace):
    """What is wrong now."""

    def list(
        self, *, task: Texts = None, kind: Texts = None, page_size: int | None = None
    ) -> AsyncPages[Alert]:
        """List the alerts that are raised."""
        query = {"task": task, "kind": kind, "page_size": page_size}
        return AsyncPages(self._transport, wire.path("alerts"), query, Alert)


class AsyncStats(_Namespace):
    """Statistics of many tasks; those of one are `rota.task(name).stats()`."""

    async def read(
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
        return StatsReport.of(await self._transport.read(wire.path("stats"), query))

    async def hours(self, hours: int | None = None) -> list[EndedHour]:
        """Return how many runs have ended in each hour."""
        found = await self._transport.read(wire.path("stats", "hours"), {"hours": hours})
        return [EndedHour.of(each) for each in found["items"]]


class AsyncUpcoming(_Namespace):
    """What runs next."""

    async def read(
        self,
        *,
        task: Texts = None,
        tag: Texts = None,
        until: datetime | str | None = None,
        limit: int | None = None,
    ) -> Agenda:
        """Return the next fire times of all tasks."""
        query = {"task": task, "tag": tag, "until": until, "limit": limit}
        return Agenda.of(await self._transport.read(wire.path("upcoming"), query))

    async def hours(
        self, *, task: Texts = None, tag: Texts = None, days: int | None = None
    ) -> ComingHours:
        """Return how many runs each of the next hours has."""
        query = {"task": task, "tag": tag, "days": days}
        found = await self._transport.read(wire.path("upcoming", "hours"), query)
        return ComingHours.of(found)

    async def icalendar(
        self, *, task: Texts = None, tag: Texts = None, days: int | None = None
    ) -> str:
        """Return the next fire times as an iCalendar text."""
        query = {"task": task, "tag": tag, "days": days}
        reply = await self._transport.call("GET", wire.path("upcoming.ics"), query=query)
        return reply.content.decode()


class AsyncSchedules(_Namespace):
    """Schedules, without a task."""

    async def preview(
        self, schedule: Fields, *, count: int = wire.UNSET, from_: datetime = wire.UNSET
    ) -> Preview:
        """Return the fire times of a schedule, with a sentence that describes it."""
        body = wire.given(schedule=schedule, count=count, from_=from_)
        reply = await self._transport.call("POST", wire.path("schedules", "preview"), body=body)
        return Preview.of(reply.fields)


class AsyncSystem(_Namespace):
    """The state of the service."""

    async def health(self) -> Health:
        """Return whether it is alive."""
        return Health.of(await self._transport.read("/healthz"))

    async def ready(self) -> Readiness:
        """Return that it can serve; raises NotReady if it cannot."""
        return Readiness.of(await self._transport.read("/readyz"))

    async def replicas(self) -> list[Replica]:
        """Return the processes of the service."""
        found = await self._transport.read(wire.path("replicas"))
        return [Replica.of(each) for each in found["items"]]

    async def metrics(self) -> str:
        """Return the metrics, as Prometheus reads them."""
        return (await self._transport.call("GET", "/metrics")).content.decode()

    async def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        return (await self._transport.call("GET", "/openapi.json")).fields
