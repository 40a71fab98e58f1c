"""Names of secrets, and the tasks that may send one."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field, StringConstraints

from rota.domain.access.names import NameLimit

#: As in `{{ secret.crm }}`; without capitals, so that a variable of the environment can represent each.
SECRET_NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"  # noqa: S105  # of its name
#: The name of a task, or the beginning of names with a `*` behind.
TASK_PATTERN = r"^(\*|[A-Za-z0-9][A-Za-z0-9._~-]{0,127}\*?)$"
MOST_TASKS = 100

SecretName = Annotated[str, StringConstraints(pattern=SECRET_NAME_PATTERN)]
TaskPattern = Annotated[str, StringConstraints(pattern=TASK_PATTERN)]
TaskPatterns = Annotated[tuple[TaskPattern, ...], Field(min_length=1, max_length=MOST_TASKS)]


def is_of(pattern: str, task: str) -> bool:
    """Return whether a pattern matches a task."""
    return task.startswith(pattern[:-1]) if pattern.endswith("*") else task == pattern


def is_within(patterns: Iterable[str], limit: NameLimit) -> bool:
    """Return whether patterns match tasks within a limit only."""
    return all(is_pattern_within(each, limit) for each in patterns)


def is_pattern_within(pattern: str, limit: NameLimit) -> bool:
    """Return whether a pattern matches tasks within a limit only."""
    return limit.covers(pattern.removesuffix("*"))


def covers(wider: str, narrower: str) -> bool:
    """Return whether a pattern matches every task that another one matches."""
    if narrower.endswith("*"):
        return wider.endswith("*") and narrower.startswith(wider[:-1])
    return is_of(wider, narrower)
