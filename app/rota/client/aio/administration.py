"""Queues, holds, calendars and handlers."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Literal

from rota.client import wire
from rota.client.aio.declared import AsyncDeclared
from rota.client.aio.pages import AsyncPages
from rota.client.models.operations import Calendar, CalendarSummary, Handler, Hold, Queue
from rota.client.models.work import LeasedRun
from rota.client.parameters import Duration, Fields
from rota.client.retries import Repeat
from rota.client.wire import UNSET


class AsyncQueues(AsyncDeclared[Queue, Queue]):
    """Queues: how many of their runs may run at a time."""

    _folder = "queues"
    _model = Queue
    _listed_model = Queue

    async def declare(
        self, name: str, *, concurrency: int | None = UNSET, paused: bool = UNSET
    ) -> Queue:
        """Set a queue up; fields that are left out get their defaults."""
        return await self._declared(name, wire.given(concurrency=concurrency, paused=paused))

    def list(self, *, ended: bool | None = None, page_size: int | None = None) -> AsyncPages[Queue]:
        """List the queues; `ended`: also with how many of their runs ended in the last five minutes."""
        return self._listed(ended=ended, page_size=page_size)

    async def lease(
        self,
        name: str,
        handlers: Sequence[str],
        *,
        most: int = 1,
        wait: float = 0,
        lease: Duration = UNSET,
        kv: Sequence[str] = UNSET,
    ) -> Sequence[LeasedRun]:
        """Take up to `most` runs, for `lease`; `wait`: for one, up to 30 s. `rota.worker` does this by itself."""
        reply = await self._transport.call(
            "POST",
            wire.path("queues", name, "lease"),
            body=wire.given(handlers=list(handlers), max=most, wait=wait, lease=lease, kv=kv),
            repeat=Repeat.UNSAFE,
            extra=wait,
        )
        return [LeasedRun.of(each) for each in reply.fields["items"]]


class AsyncHolds(AsyncDeclared[Hold, Hold]):
    """Spans of time in which the selected tasks do not fire."""

    _folder = "holds"
    _model = Hold
    _listed_model = Hold

    def list(self, *, ended: bool | None = None, page_size: int | None = None) -> AsyncPages[Hold]:
        """List the holds that last or are planned; `ended`: those that have ended as well."""
        return self._listed(ended=ended, page_size=page_size)

    async def read(self, name: str, *, count: bool | None = None) -> Hold:
        """Read a hold; `count`: and count the tasks that it selects."""
        return Hold.of(await self._transport.read(self._path(name), {"count": count}))

    async def declare(
        self,
        name: str,
        selector: Fields,
        *,
        from_: datetime | str = UNSET,
        until: datetime | str | None = UNSET,
        timezone: str | None = UNSET,
        reason: str | None = UNSET,
        fire_times: Literal["skip", "catch_up"] = UNSET,
        count: bool | None = None,
    ) -> Hold:
        """Hold the tasks of a selector, from now or `from_`, `until` a time or until it is deleted."""
        body = wire.given(
            selector=selector,
            from_=from_,
            until=until,
            timezone=timezone,
            reason=reason,
            fire_times=fire_times,
        )
        return await self._declared(name, body, count=count)


class AsyncCalendars(AsyncDeclared[Calendar, CalendarSummary]):
    """Calendars of days on which tasks do not fire."""

    _folder = "calendars"
    _model = Calendar
    _listed_model = CalendarSummary

    async def declare(
        self,
        name: str,
        *,
        dates: Sequence[date | str] = UNSET,
        icalendar: str = UNSET,
        holidays: Fields = UNSET,
        description: str | None = UNSET,
        if_match: str | None = None,
        if_absent: bool = False,
    ) -> Calendar:
        """Set a calendar up, from dates, an iCalendar text, or the holidays of a country."""
        body = wire.given(
            dates=dates, icalendar=icalendar, holidays=holidays, description=description
        )
        headers = wire.conditional(if_match, if_absent=if_absent)
        return await self._declared(name, body, headers)


class AsyncHandlers(AsyncDeclared[Handler, Handler]):
    """Handlers: what tasks can name."""

    _folder = "handlers"
    _model = Handler
    _listed_model = Handler

    async def declare(
        self,
        name: str,
        *,
        description: str = UNSET,
        input_schema: Mapping[str, Any] | None = UNSET,
        timeout: Duration | None = UNSET,  # noqa: ASYNC109  # that of the handler
    ) -> Handler:
        """Declare a handler that workers elsewhere execute."""
        body = wire.given(description=description, input_schema=input_schema, timeout=timeout)
        return await self._declared(name, body)
