"""What a secret is bound to: the servers that it may be sent to, and the tasks that may send it."""

from typing import Protocol

from rota.domain.primitives.texts.english import and_list
from rota.domain.secrets.names import covers, is_of


class Bound(Protocol):
    """A secret, with or without its value."""

    @property
    def name(self) -> str: ...
    @property
    def origins(self) -> tuple[str, ...]: ...
    @property
    def tasks(self) -> tuple[str, ...]: ...


def permits(secret: Bound, origin: str | None, task: str) -> str | None:
    """Return why a task may not send a secret to an origin, or None if it may."""
    if origin not in secret.origins:
        there = and_list(list(secret.origins)) or "no server"
        return f"the secret {secret.name!r} may be sent to {there}, not to {origin or 'this host'}"
    if not is_for(secret, task):
        whose = f"tasks called {and_list(list(secret.tasks))}" if secret.tasks else "no task"
        return f"the secret {secret.name!r} is for {whose}, not for {task!r}"
    return None


def is_for(secret: Bound, task: str) -> bool:
    """Return whether a task is one of those that may send a secret."""
    return any(is_of(pattern, task) for pattern in secret.tasks)


def widens(before: Bound, origins: tuple[str, ...], tasks: tuple[str, ...]) -> bool:
    """Return whether these origins and tasks permit something that the present ones of a secret do not."""
    farther = set(origins) - set(before.origins)
    return bool(farther) or not all(
        any(covers(there, each) for there in before.tasks) for each in tasks
    )
