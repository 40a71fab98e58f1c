"""Whose a task is: a tag such as `owner:shop`, so that two appliers do not overwrite each other's tasks."""

from collections.abc import Iterable

PREFIX = "owner:"
#: The owner if neither the command nor the file names one.
DEFAULT = "apply"


def owner_of(tags: Iterable[str]) -> str | None:
    """Return the owner that a task's tags name; None if they name none."""
    return next((tag.removeprefix(PREFIX) for tag in tags if tag.startswith(PREFIX)), None)


def with_owner(tags: Iterable[str], owner: str) -> list[str]:
    """Return the tags with that owner, and no other."""
    return [*(tag for tag in tags if not tag.startswith(PREFIX)), f"{PREFIX}{owner}"]


def refusal(owner: str | None, wanted: str) -> str | None:
    """Return why an applier that is `wanted` leaves a task alone that exists; None if it is its own."""
    if owner == wanted:
        return None
    belongs = "it has no owner" if owner is None else f"it belongs to '{owner}'"
    return f"{belongs}, and this is applied by '{wanted}': --take-over takes it"
