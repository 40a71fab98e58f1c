"""What an import finds: tasks, and what has no counterpart, each with its place and the reason."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rota.cli.exits import CommandFailed
from rota.cli.local.schedules import schedule_of
from rota.domain.primitives.texts.names import LONGEST_NAME, RESERVED_NAMES
from rota.domain.schedules.definitions import Planned

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._~-]+")


class NotMappable(Exception):
    """Something has no counterpart; `str()` is the reason."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is not taken over, or not as it was. `line`: in the file, from 1; None: it has no lines."""

    line: int | None
    what: str
    reason: str
    #: Whether there is a task all the same.
    is_warning: bool = False


@dataclass(slots=True)
class Imported:
    """The tasks of a file as bodies of POST /v1/tasks, and the problems."""

    tasks: list[dict[str, Any]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def add(self, name: str, task: Mapping[str, Any]) -> None:
        """Add a task under a name that no other has; raises NotMappable if Rota would refuse its schedule."""
        checked(task["schedule"])
        taken = {each["name"] for each in self.tasks}
        self.tasks.append({"name": free_name(name, taken), **task})

    def refuse(self, line: int | None, what: str, reason: object) -> None:
        """Report what is not taken over."""
        self.problems.append(Problem(line, what, str(reason)))

    def warn(self, line: int | None, what: str, reason: str) -> None:
        """Report what is taken over, and not quite as it was."""
        self.problems.append(Problem(line, what, reason, is_warning=True))

    @property
    def is_complete(self) -> bool:
        """Whether there is a task for everything."""
        return all(each.is_warning for each in self.problems)


@contextmanager
def refusing(found: Imported, line: int | None, what: str) -> Iterator[None]:
    """Report something as not taken over if the block raises NotMappable, or meets values of wrong types."""
    try:
        yield
    except NotMappable as error:
        found.refuse(line, what, error)
    except (ArithmeticError, RecursionError, TypeError, ValueError) as error:
        found.refuse(line, what, f"it cannot be read: {error}")


def checked(schedule: Mapping[str, Any]) -> Planned:
    """Return a schedule; raises NotMappable with what is wrong with it."""
    try:
        return schedule_of(dict(schedule))
    except CommandFailed as error:
        raise NotMappable(error.sentence.removeprefix("/expression: ")) from None


def free_name(wish: str, taken: Iterable[str]) -> str:
    """Return a name for a task that is like the one that is wished for, and not taken."""
    name = _NOT_IN_NAMES.sub("-", wish).strip("-._~")[: LONGEST_NAME - 8] or "task"
    refused = {*taken, *RESERVED_NAMES}
    number = 1
    found = name
    while found in refused:
        number += 1
        found = f"{name}-{number}"
    return found
