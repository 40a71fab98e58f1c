"""The tasks that rules name: not the task itself, and better one that takes notifications."""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet

from sqlalchemy import Connection, select

from rota.db.connection_state.alerting import alerting_of
from rota.db.tables import task
from rota.db.types import is_one_of
from rota.domain.access.names import NameLimit
from rota.domain.alerts.defaults import notified_by
from rota.domain.alerts.rules import FailureRule
from rota.domain.primitives.finding import Finding
from rota.domain.tasks.definition import TaskDefinition, TaskStatus
from rota.errors import Fault, Invalid

_STATUSES = select(task.c.name, task.c.status).where(
    is_one_of(task.c.name, "g_names"), task.c.deleted_at.is_(None)
)
_MISSING = "missing"
_NOT_TAKING: dict[str, str] = {
    _MISSING: "does not exist",
    TaskStatus.PAUSED: "is paused",
    TaskStatus.CANCELLED: "is cancelled",
}


def check_not_itself(name: str, definition: TaskDefinition) -> None:
    """Raise Invalid if a task is to notify itself."""
    faults = [
        Fault(f"/{field}/task", "a task cannot notify itself: name another task")
        for field, notified in notified_by(definition).items()
        if notified == name
    ]
    if faults:
        raise Invalid(faults[0].sentence, *faults)


def warnings_of_notified(
    connection: Connection, definition: TaskDefinition, visible: NameLimit
) -> tuple[Finding, ...]:
    """Return a warning for each visible task that a definition's rules name and that takes no notifications now.

    And one, if it is expected to be heard of and nobody is notified when it is not.
    """
    [found] = warnings_of_each(connection, [(definition, visible)])
    return found


def warnings_of_each(
    connection: Connection, of: Sequence[tuple[TaskDefinition, NameLimit]]
) -> list[tuple[Finding, ...]]:
    """Return the same for each of several definitions, with one query."""
    named = [
        {field: name for field, name in notified_by(each).items() if visible.covers(name)}
        for each, visible in of
    ]
    statuses = _statuses(connection, {name for each in named for name in each.values()})
    return [
        (*_warnings(names, statuses), *_untold(connection, definition))
        for names, (definition, _) in zip(named, of, strict=True)
    ]


def _statuses(connection: Connection, names: AbstractSet[str]) -> dict[str, str]:
    if not names:
        return {}
    rows = connection.execute(_STATUSES, {"g_names": sorted(names)})
    return {row.name: row.status for row in rows}


def _warnings(named: dict[str, str], statuses: dict[str, str]) -> Iterator[Finding]:
    for field, name in named.items():
        status = statuses.get(name, _MISSING)
        if status in _NOT_TAKING:
            yield Finding(
                f"notified_{status}",
                f"/{field}/task: task {name!r} {_NOT_TAKING[status]}. Notifications for it are kept, and tried again, "
                "until it takes them.",
            )


def _untold(connection: Connection, definition: TaskDefinition) -> Iterator[Finding]:
    if definition.expect_every is None or isinstance(definition.on_failure, FailureRule):
        return
    if definition.on_failure is None and alerting_of(connection).defaults.on_failure is not None:
        return
    advice = (
        "Name a task in on_failure, or set ROTA_ON_FAILURE"
        if definition.on_failure is None
        else "Name a task in on_failure instead of 'off'"
    )
    yield Finding(
        "nobody_notified",
        f"/expect_every: nobody is notified when neither a success nor a ping comes. {advice}.",
    )
