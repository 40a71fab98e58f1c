"""Limits of chains: tasks and their predecessors, as names. Pure.

A cycle would wait for itself without end. Length and width are bounded, because a skipped run is propagated down its
whole chain in one commit.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping

from rota.domain.access.names import UNLIMITED, NameLimit

#: The length of a chain, and the number of direct and indirect successors of one task.
LONGEST_CHAIN = 100
MOST_SUCCESSORS = 1_000
_SHOWN = 8

WaitsFor = Mapping[str, Collection[str]]


class CycleError(Exception):
    """Tasks in a cycle: each of `names` waits for the next one, and the last one for the first."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(names)
        self.names = names


def lengths(waits_for: WaitsFor) -> dict[str, int]:
    """Return the length of the longest chain that ends with each task; raises CycleError.

    A depth-first search with a stack of its own, since a chain may be longer than the stack of Python.
    """
    done: dict[str, int] = {}
    for start in waits_for:
        if start not in done:
            _walk(waits_for, start, done)
    return done


def _walk(waits_for: WaitsFor, start: str, done: dict[str, int]) -> None:
    path: dict[str, Iterator[str]] = {start: iter(waits_for[start])}
    while path:
        name = next(reversed(path))
        for before in path[name]:
            if before in path:
                names = list(path)
                raise CycleError(names[names.index(before) :])
            if before not in done:
                path[before] = iter(waits_for.get(before, ()))
                break
        else:
            done[name] = 1 + max((done[before] for before in waits_for.get(name, ())), default=0)
            del path[name]


def with_too_many_successors(waits_for: WaitsFor, most: int = MOST_SUCCESSORS) -> str | None:
    """Return a task with more than `most` direct and indirect successors, or None."""
    names = set(waits_for).union(*waits_for.values())
    if len(names) <= most:
        return None
    followers = defaultdict(list)
    for name, before in waits_for.items():
        for each in before:
            followers[each].append(name)
    # The successors of a task in the middle are successors of the first one, too.
    first = (name for name in names if not waits_for.get(name))
    return next((name for name in first if _follow_more(followers, name, most)), None)


def _follow_more(followers: Mapping[str, Collection[str]], name: str, most: int) -> bool:
    reached = {name}
    front = [name]
    while front and len(reached) <= most + 1:
        new = {each for before in front for each in followers.get(before, ())} - reached
        reached |= new
        front = list(new)
    return len(reached) > most + 1


def describe_cycle(names: list[str], limit: NameLimit = UNLIMITED) -> str:
    """Return a cycle as text: each task after the one that it waits for. `limit`: the names that may be shown."""
    shown = [shown_name(name, limit) for name in names[:_SHOWN]]
    more = ["…"] if len(names) > _SHOWN else []
    return " after ".join([*shown, *more, shown[0]])


def shown_name(name: str, limit: NameLimit) -> str:
    """Return the name of a task in quotes, if it may be shown."""
    return repr(name) if limit.covers(name) else "a task that this key may not see"
