"""Names of secrets, and the tasks that may send one."""

from typing import Annotated

from pydantic import Field, StringConstraints

#: As in `{{ secret.crm }}`; without capitals, so that a variable of the environment can stand for each.
SECRET_NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"  # noqa: S105  # of its name
#: The name of a task, or the beginning of names with a `*` behind.
TASK_PATTERN = r"^(\*|[A-Za-z0-9][A-Za-z0-9._~-]{0,127}\*?)$"
MOST_TASKS = 100

SecretName = Annotated[str, StringConstraints(pattern=SECRET_NAME_PATTERN)]
TaskPattern = Annotated[str, StringConstraints(pattern=TASK_PATTERN)]
TaskPatterns = Annotated[tuple[TaskPattern, ...], Field(min_length=1, max_length=MOST_TASKS)]


def is_of(pattern: str, task: str) -> bool:
    """Return whether a pattern stands for a task."""
    return task.startswith(pattern[:-1]) if pattern.endswith("*") else task == pattern


def covers(wider: str, narrower: str) -> bool:
    """Return whether a pattern stands for every task that another one stands for."""
    if narrower.endswith("*"):
        return wider.endswith("*") and narrower.startswith(wider[:-1])
    return is_of(wider, narrower)
