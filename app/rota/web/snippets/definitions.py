"""What is written of a task: without what only the service sets and what is default."""

from collections.abc import Mapping
from typing import Any, Final

from rota.domain.http_target.target import Target
from rota.domain.schedules.definitions import Manual
from rota.domain.tasks.definition import TaskDefinition

#: Always written: the default of a task can be that of its handler.
_KEPT: Final = frozenset({"handler", "schedule", "timeout"})
#: The default of this timeout depends on the task's.
_KEPT_OF_TARGET: Final = frozenset({"url", "timeout"})


def definition_of(task: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a `PUT` of the task needs: the fields that differ from the defaults."""
    default = TaskDefinition(handler="x", schedule=Manual(type="manual")).model_dump(mode="json")
    found = {
        name: task[name]
        for name in TaskDefinition.model_fields
        if name in task and (name in _KEPT or task[name] != default[name])
    }
    if task.get("secret_input"):  # it is shown as null
        found.pop("input", None)
    if found.get("target"):
        found["target"] = _target(found["target"])
    return found


def _target(target: Mapping[str, Any]) -> dict[str, Any]:
    default = Target(url="https://example.com/").model_dump(mode="json")
    return {
        name: value
        for name, value in target.items()
        if name in _KEPT_OF_TARGET or value != default.get(name, name)
    }
