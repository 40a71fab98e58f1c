"""Definitions with the days of the calendars that their schedules name: only with them are there fire times."""

from collections.abc import Iterable
from dataclasses import replace

from sqlalchemy import Connection

from rota.domain.schedules.calendar_use import uses_calendars, with_days
from rota.domain.schedules.definitions import Planned
from rota.domain.tasks.definition import TaskDefinition
from rota.domain.tasks.task import Task
from rota.store.calendars.present import PresentCalendars


def opened_schedule(schedule: Planned, calendars: PresentCalendars) -> Planned:
    """Return a schedule with the days of its calendars; one without calendars as it is, and nothing is read."""
    return with_days(schedule, calendars.find)


def opened(definition: TaskDefinition, calendars: PresentCalendars) -> TaskDefinition:
    """Return a definition with the days of its calendars."""
    if not uses_calendars(definition.schedule):
        return definition
    return definition.model_copy(
        update={"schedule": with_days(definition.schedule, calendars.find)}
    )


def opened_task(connection: Connection, found: Task) -> Task:
    """Return a task with the days of its calendars."""
    return opened_tasks(connection, [found])[0]


def opened_tasks(connection: Connection, found: Iterable[Task]) -> list[Task]:
    """Return tasks with the days of their calendars, all of one revision."""
    calendars = PresentCalendars(connection)
    return [
        replace(each, definition=opened(each.definition, calendars))
        if uses_calendars(each.definition.schedule)
        else each
        for each in found
    ]
