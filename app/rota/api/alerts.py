"""Alerts: which are raised, and whether somebody was notified."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import Field
from typing_extensions import TypedDict

from rota.api.http.access import ReadsTasks
from rota.api.http.formats import InstantText, show_instant
from rota.api.http.pagination import (
    Cursor,
    Limit,
    decode_cursor,
    foreign_cursor,
    paginate,
    split,
)
from rota.api.http.responses import reply, send
from rota.api.http.routing import router
from rota.api.http.services import Served
from rota.api.http.validation import checked_filter
from rota.api.problems.problem import describe
from rota.domain.access.principal import Principal
from rota.domain.access.scopes import Scope
from rota.domain.alerts.rules import AlertKind, RaisedKind
from rota.domain.primitives.ids import to_id
from rota.domain.primitives.texts.names import Name
from rota.domain.primitives.times.instants import format_instant, parse_instant
from rota.store.alerts.reading import (
    Position,
    RaisedAlert,
    SentNotification,
    list_notifications,
    list_raised,
    raised_of,
)
from rota.store.task_rows import task_id

_RUN = "018bcfe5-6800-7000-8000-000000000001"


class AlertOut(TypedDict):
    """An alert that is raised: it has not recovered yet."""

    task: Annotated[str, Field(description="The task that it is about.", examples=["invoices"])]
    kind: Annotated[RaisedKind, Field(description="What is alerted on.", examples=["failures"])]
    raised_at: Annotated[InstantText, Field(description="Since when.")]
    run: Annotated[
        str | None,
        Field(
            description="The run that raised it; null if the absence of one did.", examples=[_RUN]
        ),
    ]


class AlertsOut(TypedDict):
    """A page of raised alerts, the newest first."""

    items: Annotated[list[AlertOut], Field(description="The raised alerts.")]
    next_cursor: Annotated[str | None, Field(description="Null: there are no more.")]


class NotificationOut(TypedDict):
    """An event for a task. It is sent once a run with it has succeeded, and tried again until then, or given up."""

    id: Annotated[str, Field(description="Its id.", examples=[_RUN])]
    kind: Annotated[AlertKind, Field(description="What is alerted on.", examples=["failures"])]
    notifies: Annotated[str, Field(description="The task that is run.", examples=["alert-ops"])]
    event: Annotated[
        dict[str, Any] | None,
        Field(
            description="What it is run with: `type`, `timestamp`, `data`. With a key that may not read runs, "
            "`data.run` is null.",
            examples=[
                {"type": "alert.failing", "timestamp": "2026-11-25T08:00:00.000Z", "data": {}}
            ],
        ),
    ]
    run: Annotated[
        str | None,
        Field(description="The run that sends it, or has sent it.", examples=[_RUN]),
    ]
    attempts: Annotated[int, Field(description="How often it could not be sent.", examples=[0])]
    not_before: Annotated[
        InstantText | None,
        Field(
            description="When it is tried again; null while a run sends it, and once it is sent or given up."
        ),
    ]
    created_at: Annotated[InstantText, Field(description="When it happened.")]
    sent_at: Annotated[InstantText | None, Field(description="Null: it has not been sent yet.")]
    given_up_at: Annotated[
        InstantText | None,
        Field(
            description="When it was given up, after 7 days of trying; null: it was not.",
            examples=[None],
        ),
    ]
    omitted: Annotated[
        int,
        Field(
            description="How many notifications before it, of the same kind, were left out since too many waited.",
            examples=[0],
        ),
    ]


class TaskAlertsOut(TypedDict):
    """The alerts of a task that are raised, and a page of its notifications, both the newest first."""

    raised: Annotated[list[AlertOut], Field(description="Those that have not recovered yet.")]
    items: Annotated[
        list[NotificationOut],
        Field(
            description="The notifications; those that were sent or given up are kept for 30 days."
        ),
    ]
    next_cursor: Annotated[str | None, Field(description="Null: there are no more.")]


routes: APIRouter = router("/v1/alerts", "alerts")
of_task: APIRouter = router("/v1/tasks", "alerts")


@routes.get("", response_model=AlertsOut, responses=describe())
def list_all(
    services: Served,
    caller: ReadsTasks,
    limit: Limit = 50,
    cursor: Cursor = None,
    task: Annotated[list[str] | None, Query(description="Only of these tasks.")] = None,
    kind: Annotated[list[str] | None, Query(description="Only of these kinds.")] = None,
) -> Response:
    """List the alerts that are raised, the newest first."""
    kinds, after = checked_filter("kind", split(kind), RaisedKind), _position(cursor)
    with services.database.read() as connection:
        found = list_raised(connection, split(task), kinds, caller.tasks, after, limit + 1)
    page, following = paginate(found, limit, _place)
    items = [_show_alert(each) for each in page]
    return send(reply(200, AlertsOut(items=items, next_cursor=following)))


@of_task.get("/{name}/alerts", response_model=TaskAlertsOut, responses=describe(404))
def list_of_task(
    services: Served, caller: ReadsTasks, name: Name, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """List the raised alerts of a task, and its notifications, the newest first."""
    position = decode_cursor(cursor, 1)
    try:
        after = None if position is None else to_id(position[0])
    except ValueError:
        raise foreign_cursor() from None
    with services.database.read() as connection:
        of = task_id(connection, name)
        raised = raised_of(connection, of)
        found = list_notifications(connection, of, after, limit + 1)
    page, following = paginate(found, limit, lambda each: [each.id])
    shown = TaskAlertsOut(
        raised=[_show_alert(each) for each in raised],
        items=[_show_notification(each, caller) for each in page],
        next_cursor=following,
    )
    return send(reply(200, shown))


def _place(of: RaisedAlert) -> list[str]:
    return [format_instant(of.raised_at), of.task, of.kind]


def _position(cursor: str | None) -> Position | None:
    position = decode_cursor(cursor, 3)
    if position is None:
        return None
    try:
        return parse_instant(position[0]), position[1], position[2]
    except ValueError:
        raise foreign_cursor() from None


def _show_alert(of: RaisedAlert) -> AlertOut:
    return {
        "task": of.task,
        "kind": RaisedKind(of.kind),
        "raised_at": format_instant(of.raised_at),
        "run": of.run_id,
    }


def _show_notification(of: SentNotification, caller: Principal) -> NotificationOut:
    return {
        "id": of.id,
        "kind": of.kind,
        "notifies": of.notifies,
        "event": of.event if caller.may(Scope.RUNS_READ) else _without_run(of.event),
        "run": of.run_id,
        "attempts": of.attempts,
        "not_before": show_instant(of.not_before),
        "created_at": format_instant(of.created_at),
        "sent_at": show_instant(of.sent_at),
        "given_up_at": show_instant(of.given_up_at),
        "omitted": of.omitted,
    }


def _without_run(event: Any) -> Any:
    """Return an event without the run: its error has what the target answered."""
    if not isinstance(event, dict) or not isinstance(event.get("data"), dict):
        return None
    return {**event, "data": {**event["data"], "run": None}}
