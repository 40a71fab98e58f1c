"""The cost of checking a value against a JSON Schema, computed before the check.

The cost of a value is the number of schemas that apply to it: to the value itself through `allOf`, `$ref` and the like,
and to the values in it at each depth, where several schemas may apply to the same field. A step takes about 25 ns, in
which no other Python thread runs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rota.domain.json_schema.graph import Graph, Node, Path
from rota.domain.primitives.json.json_text import MAX_DEPTH, pointer_to

#: How many schemas may look at one value: those that a schema applies in place, counted wherever `$ref` leads.
MOST_IN_PLACE = 10_000
#: How many characters all patterns of a schema may have, with what they repeat written out.
MOST_PATTERN = 10_000
#: How many steps a check may take.
MOST_STEPS = 10_000_000
# More is treated like this.
_ENDLESS = 10**12
# A pattern looks at so many characters in a step, for each of its own.
_CHARACTERS = 8

_Weight = tuple[int, int]
_NONE: _Weight = (0, 0)


class TooHeavyError(ValueError):
    """A schema would take too much work, or would never end; `path` leads to where."""

    def __init__(self, path: Path, detail: str) -> None:
        super().__init__(detail)
        self.path = path
        self.detail = detail

    @property
    def pointer(self) -> str:
        return pointer_to(self.path)


@dataclass(slots=True)
class _Depth:
    """What nodes cost for each of the values so many levels below the one that they look at: in objects, in lists."""

    objects: list[_Weight]
    lists: list[_Weight]

    def most(self, number: int) -> _Weight:
        return _larger(self.objects[number], self.lists[number])


class Weights:
    """The weights of one schema."""

    def __init__(self, schema: Any) -> None:
        """Raises TooHeavyError."""
        graph = Graph(schema)
        self.patterns = graph.patterns
        self._nodes = graph.nodes
        self._groups = list(_groups(self._nodes))
        self._largest: dict[int, _Weight] = {}
        counted = self._in_place([(node.steps, node.text) for node in self._nodes])
        worked = self._in_place([(node.steps + node.work, node.text) for node in self._nodes])
        self._depths = [_Depth(worked, worked)]
        for node, own in zip(self._nodes, counted, strict=True):
            if own[0] > MOST_IN_PLACE:
                raise TooHeavyError(
                    node.path,
                    f"for one value this comes to {_shown(own[0])} schemas and names, with those that it refers to; "
                    f"the limit is {MOST_IN_PLACE:,}",
                )
        if graph.patterns > MOST_PATTERN:
            raise TooHeavyError(
                (),
                f"its patterns come to {_shown(graph.patterns)} characters, with what they repeat written out; "
                f"the limit is {MOST_PATTERN:,}",
            )

    def bound(self, data: bytes) -> int:
        """Return how many steps a JSON document may take at most; a cheap estimate from above."""
        opening = data.count(b"[") + data.count(b"{")
        steps, text = self._most(min(opening, MAX_DEPTH))
        return steps * (data.count(b",") + opening + 1) + text * len(data) // _CHARACTERS

    def steps(self, value: Any) -> int:
        """Return how many steps a value takes, or more than may be taken."""
        total = 0
        for depth, (count, characters) in enumerate(_levels(value)):
            steps, text = self._at(depth)
            total += steps * count + text * characters // _CHARACTERS
            if total > MOST_STEPS:
                break
        return total

    def _most(self, deepest: int) -> _Weight:
        if deepest not in self._largest:
            self._largest[deepest] = self._largest_of(deepest)
        return self._largest[deepest]

    def _largest_of(self, deepest: int) -> _Weight:
        most = _NONE
        for depth in range(deepest + 1):
            most = _larger(most, self._at(depth))
            if depth >= len(self._depths):  # from here on it stays the same
                break
        return most

    def _at(self, depth: int) -> _Weight:
        """Return what the schema costs for each value at a depth."""
        while depth >= len(self._depths):
            following = self._next(self._depths[-1], first=len(self._depths) == 1)
            if len(self._depths) > 1 and following == self._depths[-1]:
                break
            self._depths.append(following)
        return self._depths[min(depth, len(self._depths) - 1)].most(0)

    def _in_place(self, own: Sequence[_Weight]) -> list[_Weight]:
        """Return the weights of nodes for one value, by what they weigh without those that they lead to."""
        weights = [_NONE] * len(self._nodes)
        for group in self._groups:
            self._settle(weights, group, [own[number] for number in group])
        return weights

    def _next(self, above: _Depth, *, first: bool) -> _Depth:
        made = _Depth([_NONE] * len(self._nodes), [_NONE] * len(self._nodes))
        for group in self._groups:
            fields = [self._of_fields(node, above, first=first) for node in self._of(group)]
            items = [_of_several(above, node.one_of, node.items) for node in self._of(group)]
            if first:
                seen = [self._in_place_of(number) for number in group]
                fields = [_sum((each, own)) for each, own in zip(fields, seen, strict=True)]
                items = [_sum((each, own)) for each, own in zip(items, seen, strict=True)]
            self._settle(made.objects, group, fields)
            self._settle(made.lists, group, items)
        return made

    def _of(self, group: Sequence[int]) -> list[Node]:
        return [self._nodes[number] for number in group]

    def _of_fields(self, node: Node, above: _Depth, *, first: bool) -> _Weight:
        own = (node.name_steps, node.name_text) if first else _NONE
        return _sum((own, _of_several(above, node.either, node.fields)))

    def _in_place_of(self, number: int) -> _Weight:
        """Return the cost of finding the fields and items that other schemas have not evaluated."""
        return self._depths[0].objects[number] if self._nodes[number].unevaluated else _NONE

    def _settle(self, weights: list[_Weight], group: Sequence[int], own: Sequence[_Weight]) -> None:
        """Note the weights of nodes that refer to each other: all of them look at a value, each once."""
        within = set(group)
        others = (
            weights[each]
            for number in group
            for each in self._nodes[number].in_place
            if each not in within
        )
        total = _sum((*own, *others))
        for number in group:
            weights[number] = total


def _groups(nodes: Sequence[Node]) -> Iterator[list[int]]:
    """Yield the nodes, each with those that lead back to it in place, and behind all that it leads to."""
    walk = _Walk(nodes)
    for root in range(len(nodes)):
        for group in walk.groups_from(root):
            yield _checked(nodes, group)


class _Walk:
    """Tarjan's algorithm, without recursion: references make chains as long as they like."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._nodes = nodes
        self._order: dict[int, int] = {}
        self._low: dict[int, int] = {}
        self._path: list[int] = []
        self._on_path: set[int] = set()

    def groups_from(self, root: int) -> Iterator[list[int]]:
        work = [] if root in self._order else [self._entered(root)]
        while work:
            number, following = work[-1]
            child = next(following, None)
            if child is None:
                work.pop()
                if work:
                    self._reach(work[-1][0], self._low[number])
                if self._low[number] == self._order[number]:
                    yield self._cut(number)
            elif child not in self._order:
                work.append(self._entered(child))
            elif child in self._on_path:
                self._reach(number, self._order[child])

    def _entered(self, number: int) -> tuple[int, Iterator[int]]:
        self._order[number] = self._low[number] = len(self._order)
        self._path.append(number)
        self._on_path.add(number)
        return number, iter(self._nodes[number].in_place)

    def _reach(self, number: int, earlier: int) -> None:
        self._low[number] = min(self._low[number], earlier)

    def _cut(self, number: int) -> list[int]:
        group: list[int] = []
        while not group or group[-1] != number:
            group.append(self._path.pop())
        self._on_path.difference_update(group)
        return group


def _checked(nodes: Sequence[Node], group: list[int]) -> list[int]:
    """Refuse schemas that refer to each other for the same value in more than one way: these multiply."""
    within = set(group)
    edges = sum(each in within for number in group for each in nodes[number].in_place)
    if edges > len(group):
        raise TooHeavyError(
            nodes[min(group)].path, "it refers to itself for the same value, in more than one way"
        )
    return group


def _levels(root: Any) -> Iterator[tuple[int, int]]:
    """Yield, level by level, how many values there are, and how many characters in texts and names."""
    level, names = [root], 0
    while level:
        yield len(level), names + sum(len(each) for each in level if isinstance(each, str))
        objects = [each for each in level if isinstance(each, dict)]
        names = sum(len(name) for each in objects for name in each)
        lists = [each for each in level if isinstance(each, list)]
        level = [item for each in objects for item in each.values()]
        level += [item for each in lists for item in each]


def _of_several(above: _Depth, one_of: Sequence[int], all_of: Sequence[int]) -> _Weight:
    most = _NONE
    for each in one_of:
        most = _larger(most, above.most(each))
    return _sum((most, *(above.most(each) for each in all_of)))


def _larger(one: _Weight, other: _Weight) -> _Weight:
    return max(one[0], other[0]), max(one[1], other[1])


def _sum(weights: Sequence[_Weight]) -> _Weight:
    steps = sum(each[0] for each in weights)
    return min(steps, _ENDLESS), min(sum(each[1] for each in weights), _ENDLESS)


def _shown(number: int) -> str:
    return f"{number:,}" if number < _ENDLESS else f"more than {_ENDLESS:,}"
