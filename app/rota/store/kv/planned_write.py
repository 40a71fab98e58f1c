"""Planned writes: entries as a commit will leave them, and by how much a table grows."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from rota.domain.kv.present import Present
from rota.domain.primitives.ids import Id

Place = tuple[Id, str]


@dataclass(slots=True)
class Write:
    """One entry as a commit leaves it (None: removed); `before` is the size of what it replaces, if there is any.

    `version`, the revision of the table, is set when the order of the writers is known.
    """

    task_id: Id
    key: str
    after: Present | None
    before: int | None
    by: str
    version: int = 0


def is_own(key: str) -> bool:
    """Return whether an entry is Rota's own."""
    return key.startswith("_")


def growth(writes: Iterable[Write]) -> tuple[int, int]:
    """Return how many entries and how many bytes tables have more by these writes; Rota's own do not count."""
    entries = size = 0
    for each in writes:
        if is_own(each.key):
            continue
        if each.after is not None:
            entries += 1
            size += each.after.size
        if each.before is not None:
            entries -= 1
            size -= each.before
    return entries, size


def one_each(writes: list[Write]) -> list[Write]:
    """Return writes of one revision with one for each key: what the last of several leaves."""
    if len(writes) < 2:
        return writes
    last: dict[Place, Write] = {}
    for each in writes:
        place = (each.task_id, each.key)
        earlier = last.get(place)
        last[place] = each if earlier is None else replace(each, before=earlier.before)
    return list(last.values())


def by_task(writes: Iterable[Write]) -> dict[Id, list[Write]]:
    """Return writes by the task to whose table they are."""
    parted: dict[Id, list[Write]] = {}
    for each in writes:
        parted.setdefault(each.task_id, []).append(each)
    return parted
