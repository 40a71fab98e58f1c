"""Chains: tasks that come after each other, as the names that each of them waits for. Pure.

A circle would wait for itself for ever. Length and width are bounded because a run that is skipped is told all the way
down its chain in one commit.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping

#: How many tasks there may be in a row, and how many may come after one, directly and through others.
MOST_IN_A_ROW = 100
MOST_AFTER_ONE = 1_000
_SHOWN = 8

WaitsFor = Mapping[str, Collection[str]]


class CircleError(Exception):
    """Tasks that wait for each other in a circle: each of `names` for the next one, the last one for the first."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(names)
        self.names = names


def lengths(waits_for: WaitsFor) -> dict[str, int]:
    """Return how many tasks there are in the longest row that ends with each; raises CircleError.

    A depth-first walk that keeps its own stack: a row may be longer than Python's.
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
                raise CircleError(names[names.index(before) :])
            if before not in done:
                path[before] = iter(waits_for.get(before, ()))
                break
        else:
            done[name] = 1 + max((done[before] for before in waits_for.get(name, ())), default=0)
            del path[name]


def overburdened(waits_for: WaitsFor, most: int = MOST_AFTER_ONE) -> str | None:
    """Return a task that more than `most` others come after, or None."""
    names = set(waits_for).union(*waits_for.values())
    if len(names) <= most:
        return None
    followers = defaultdict(list)
    for name, before in waits_for.items():
        for each in before:
            followers[each].append(name)
    # What comes after one in the middle comes after the first one, too.
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


def tell_circle(names: list[str]) -> str:
    """Say of a circle who waits for whom."""
    shown = [*names[:_SHOWN], "…"] if len(names) > _SHOWN else names
    return " after ".join([*map(repr, shown), repr(names[0])]).replace("'…'", "…")
