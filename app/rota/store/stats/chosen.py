"""Which runs statistics are about, as conditions of statements."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, or_, select

from rota.db.planning import unindexed
from rota.db.tables import run, task
from rota.domain.access.names import UNLIMITED, NameLimit
from rota.domain.primitives.ids import Id
from rota.domain.stats.window import Window
from rota.store.task_rows import TaskFilter, matching


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenTasks:
    """The tasks: one by its id, or those that have one of the names and one of the tags; empty means any."""

    id: Id | None = None
    names: Sequence[str] = ()
    tags: Sequence[str] = ()
    #: Those that the client may see.
    limit: NameLimit = UNLIMITED

    @property
    def are_all(self) -> bool:
        """Whether they are all that there are."""
        return self.id is None and self.limit.is_unlimited and not (self.names or self.tags)

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the conditions that a row of `task` meets."""
        if self.id is not None:
            return [task.c.id == self.id]
        named = [task.c.name.in_(self.names)] if self.names else []
        alike = matching(TaskFilter(tag=self.tags, limit=self.limit))
        return [task.c.deleted_at.is_(None), *named, *alike]

    def has(self, task_id: ColumnElement[Id]) -> ColumnElement[bool]:
        """Return the condition that a column has the id of one of them."""
        if self.id is not None:
            return task_id == self.id
        if self.are_all:
            # Nearly all: those few that are being deleted are looked up, and not each that is there.
            return task_id.not_in(select(task.c.id).where(task.c.deleted_at.is_not(None)))
        return task_id.in_(select(task.c.id).where(*self.conditions()))


def fired_within(tasks: ChosenTasks, window: Window) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of runs whose fire time is in the window, which an index finds alone."""
    return (
        tasks.has(run.c.task_id),
        run.c.scheduled_for >= window.begins_at,
        run.c.scheduled_for < window.ends_at,
    )


def begun_within(tasks: ChosenTasks, window: Window) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of runs whose fire time is in the window; the last one of a span is too."""
    return (
        *fired_within(tasks, window),
        or_(run.c.scheduled_until.is_(None), ~over_the_end(window)),
    )


def over_the_end(window: Window) -> ColumnElement[bool]:
    """Return the condition of spans that reach over the end of the window; NULL for what is no span."""
    return run.c.scheduled_until >= window.ends_at


def over_the_edge(tasks: ChosenTasks, window: Window) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of spans that are partly in the window: they reach over its beginning, its end or both."""
    begun = unindexed(run.c.scheduled_for)  # few runs are spans, and have an index of their own
    return (
        tasks.has(run.c.task_id),
        run.c.scheduled_until.is_not(None),
        run.c.scheduled_until >= window.begins_at,
        begun < window.ends_at,
        or_(begun < window.begins_at, over_the_end(window)),
    )
