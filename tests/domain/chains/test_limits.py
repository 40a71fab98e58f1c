"""Chains: circles, lengths and widths, against brute force."""

from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rota.domain.chains.limits import CycleError, describe_cycle, lengths, with_too_many_successors

NAMES = "abcdefg"
graphs = st.dictionaries(
    st.sampled_from(NAMES), st.sets(st.sampled_from(NAMES), max_size=2), max_size=len(NAMES)
)


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    """Return all that `start` waits for, directly and through others."""
    found: set[str] = set()
    for _ in NAMES:
        found |= {name for each in (start, *found) for name in graph.get(each, ())}
    return found


def circle_in(graph: dict[str, set[str]]) -> list[str] | None:
    try:
        lengths(graph)
    except CycleError as circle:
        return circle.names
    return None


@settings(deadline=None)
@given(graph=graphs)
def test_a_cycle_is_found_if_there_is_one(graph: dict[str, set[str]]) -> None:
    circular = any(name in reachable(graph, name) for name in NAMES)

    circle = circle_in(graph)

    assert (circle is not None) == circular
    if circle is not None:
        assert len(set(circle)) == len(circle)
        assert all(before in graph[name] for name, before in pairwise([*circle, circle[0]]))


@settings(deadline=None)
@given(graph=graphs)
def test_the_longest_row_that_ends_with_a_task_is_counted(graph: dict[str, set[str]]) -> None:
    assume(circle_in(graph) is None)

    def longest(name: str) -> int:
        return 1 + max(map(longest, graph.get(name, ())), default=0)

    found = lengths(graph)

    assert found == {name: longest(name) for name in found}
    assert found.keys() == set(graph).union(*graph.values())


@settings(deadline=None)
@given(graph=graphs, most=st.integers(0, 4))
def test_a_task_that_too_many_come_after_is_found(graph: dict[str, set[str]], most: int) -> None:
    assume(circle_in(graph) is None)
    behind = {name: {each for each in NAMES if name in reachable(graph, each)} for name in NAMES}

    found = with_too_many_successors(graph, most)

    if found is None:
        assert all(len(names) <= most for names in behind.values())
    else:
        assert len(behind[found]) > most


def test_a_row_may_be_longer_than_the_stack() -> None:
    graph = {str(number): [str(number - 1)] for number in range(1, 5_000)}

    assert lengths(graph)["4999"] == 5_000


@pytest.mark.parametrize(
    ("names", "described"),
    [
        (["a", "b"], "'a' after 'b' after 'a'"),
        (
            list("abcdefghi"),
            "'a' after 'b' after 'c' after 'd' after 'e' after 'f' after 'g' after 'h' after … after 'a'",
        ),
    ],
)
def test_a_cycle_is_described_by_its_names(names: list[str], described: str) -> None:
    assert describe_cycle(names) == described
