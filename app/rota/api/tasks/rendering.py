"""Responses with a task, and of registrations: with the next fire times and warnings, where these are cheap to find."""

from functools import partial
from typing import Any

from rota.api.http.etags import etag
from rota.api.http.formats import show_instant
from rota.api.http.responses import reply
from rota.api.http.services import Services
from rota.api.tasks.response_models import BatchItemOut
from rota.api.tasks.views import (
    UPCOMING,
    RegistrationContext,
    outlook,
    show_finding,
    show_registration,
    show_task,
)
from rota.domain.holds.held import Holds
from rota.domain.primitives.times.instants import format_instant
from rota.domain.runs.upcoming import next_run_under
from rota.domain.step_budget import AT_ONCE, limited_to
from rota.domain.tasks.definition import Registered
from rota.domain.tasks.task import Task
from rota.errors import RateLimited, TooCostly, Unavailable
from rota.store.idempotency import Reply
from rota.store.tasks.declaration import Registration


def render_task(services: Services, task: Task) -> Reply:
    """Render a task with its ETag."""
    shown = show_task(task, holds_now(services))
    return reply(200, shown, {"etag": etag(task.id, task.generation)})


def holds_now(services: Services) -> Holds:
    """Return the holds that last now, from memory: those of another replica are known there within a second."""
    now = services.clock.now()
    return services.known_holds.latest.between(now, now)


async def render(services: Services, made: Registration, *, timeout_given: bool) -> Reply:
    """Render a registration: at once if that is cheap, as it nearly always is, else in a computing slot.

    `timeout_given`: the request sets a timeout.
    """
    rendered = partial(_render, services, made, timeout_given=timeout_given)
    try:
        with limited_to(AT_ONCE):
            return rendered()
    except TooCostly:
        pass
    try:
        return await services.computing.run(rendered)
    except (
        TooCostly,
        Unavailable,
        RateLimited,
    ):  # the task is registered, so the response must say so
        return rendered(look_ahead=False)


def render_at_once(services: Services, made: Registration, *, timeout_given: bool) -> Reply:
    """Render a registration within its write, which all other writes wait for."""
    rendered = partial(_render, services, made, timeout_given=timeout_given)
    try:
        with limited_to(AT_ONCE):
            return rendered()
    except TooCostly:
        return rendered(look_ahead=False)


def _render(
    services: Services, made: Registration, *, timeout_given: bool, look_ahead: bool = True
) -> Reply:
    headers = {"etag": etag(made.task.id, made.task.generation)}
    created = made.outcome is Registered.CREATED
    if created:
        headers["location"] = f"/v1/tasks/{made.task.name}"
    shown = show_made(services, made, timeout_given=timeout_given, look_ahead=look_ahead)
    return reply(201 if created else 200, shown, headers)


def show_made(
    services: Services, made: Registration, *, timeout_given: bool, look_ahead: bool = True
) -> dict[str, Any]:
    """Return a registration as JSON; see `show_registration`."""
    context = context_of(services)
    return show_registration(made, context, timeout_given=timeout_given, look_ahead=look_ahead)


def context_of(services: Services) -> RegistrationContext:
    """Return what responses about registrations depend on at this moment."""
    return RegistrationContext(
        now=services.clock.now(),
        holds=holds_now(services),
        handler_is_live=services.handlers.is_live,
        has_keys=bool(services.settings.encryption_keys),
        has_address=bool(services.settings.public_url),
    )


def show_item(
    made: Registration, context: RegistrationContext, *, timeout_given: bool, with_upcoming: bool
) -> BatchItemOut | None:
    """Return a registration of a batch as JSON, without what takes long to find; see `show_registration`.

    Without `with_upcoming` it is None if there is no warning, as of most: so that costs little.
    """
    number = UPCOMING if with_upcoming else 1  # the first one decides about warnings
    look = partial(outlook, made, context, timeout_given=timeout_given, number=number)
    try:
        with limited_to(AT_ONCE):
            upcoming, found = look()
    except TooCostly:
        upcoming, found = look(look_ahead=False)
    if not with_upcoming and not found:
        return None
    return {
        "name": made.task.name,
        "outcome": made.outcome,
        "next_fire_at": show_instant(next_run_under(made.task, context.holds)),
        "upcoming": [format_instant(at) for at in upcoming] if with_upcoming else None,
        "warnings": [show_finding(each) for each in found],
    }
