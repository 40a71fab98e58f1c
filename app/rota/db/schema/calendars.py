"""Calendars of excluded days, the tasks that use them, and which version of all of them is the present one."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, String, Text
from sqlmodel import Field

from rota.db.schema.base import Row, name_type, one_of
from rota.db.types import Instant, StoredId
from rota.domain.calendars.source import SourceKind
from rota.domain.primitives.ids import Id


class CalendarRow(Row, table=True):
    """A calendar: what was declared (`source`, JSON or an iCalendar text), and the days that it represents."""

    __tablename__ = "calendar"
    __table_args__ = (
        CheckConstraint(one_of("kind", SourceKind), name="kind"),
        CheckConstraint("(days IS NULL) = (kind = 'holidays')", name="days"),
        Index("uq_calendar_name", "name", unique=True),
    )

    id: Id = Field(primary_key=True, sa_type=StoredId)
    name: str = Field(sa_type=name_type())
    kind: str = Field(sa_type=String(16))
    source: str = Field(sa_type=Text)
    #: JSON: `[["2026-12-24", "2026-12-27"], …]`, the ends not included; NULL for holidays, which are computed.
    days: str | None = Field(None, sa_type=Text)
    description: str | None = Field(None, sa_type=Text)
    version: int
    #: Another one with every change of the days.
    revision: Id = Field(sa_type=StoredId)
    #: Fire times of its tasks have yet to be computed again.
    replans: bool = False
    created_at: datetime = Field(sa_type=Instant)
    updated_at: datetime = Field(sa_type=Instant)
    updated_by: str


class TaskCalendarRow(Row, table=True):
    """A task leaves out the days of a calendar."""

    __tablename__ = "task_calendar"
    __table_args__ = (
        ForeignKeyConstraint(["task_id"], ["task.id"]),
        ForeignKeyConstraint(["calendar_id"], ["calendar.id"]),
        Index("ix_task_calendar_calendar_id", "calendar_id"),
    )

    task_id: Id = Field(primary_key=True, sa_type=StoredId)
    calendar_id: Id = Field(primary_key=True, sa_type=StoredId)


class CalendarStateRow(Row, table=True):
    """One row: the version of all calendars together, and the newest version of the rules of holidays so far."""

    __tablename__ = "calendar_state"
    __table_args__ = (CheckConstraint("id = 1", name="one"),)

    id: int = Field(primary_key=True)
    revision: Id = Field(sa_type=StoredId)
    holidays: str | None = Field(None, sa_type=String(32))
