"""The graph of runs: where each run is drawn, and which are drawn of many."""

import re
from itertools import pairwise
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from rota.web.charts.of_lineage import Lineage, graph

SVG = "{http://www.w3.org/2000/svg}"


def lineage(count: int, *links: tuple[int, int]) -> Lineage:
    """Return runs called by their numbers, and links from earlier to later ones."""
    runs = [{"id": f"{n:03}", "task": f"task-{n}", "status": "succeeded"} for n in range(count)]
    return Lineage(
        runs, [{"fed_by": f"{a:03}", "run": f"{b:03}", "kind": "after"} for a, b in links]
    )


def places(drawn: Lineage, id: str = "000") -> dict[str, tuple[float, float]]:
    """Return the left upper corner of the box of each run."""
    found = re.findall(
        r'<a href="/ui/runs/(\d+)".*?<rect class="[^"]*" x="([\d.]+)" y="([\d.]+)"',
        graph(drawn, id),
    )
    return {run: (float(x), float(y)) for run, x, y in found}


def test_a_chain_is_one_line_from_left_to_right() -> None:
    found = places(lineage(4, (0, 1), (1, 2), (2, 3)))

    assert len({y for _, y in found.values()}) == 1
    assert all(before < after for before, after in pairwise(x for x, _ in found.values()))


def test_runs_that_follow_from_one_are_below_each_other_and_meet_again() -> None:
    found = places(lineage(5, (0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4)))

    assert len({found[id][0] for id in ("001", "002", "003")}) == 1
    assert len({found[id][1] for id in ("001", "002", "003")}) == 3
    assert found["004"][1] == found["002"][1]


def test_a_long_name_made_of_markup_is_cut_and_remains_text() -> None:
    task = "<script>alert(1)</script>-and-more"
    drawn = Lineage([{"id": "000", "task": task, "status": "failed"}], [])

    picture = ET.fromstring(
        str(graph(drawn, "000")).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    )

    assert [each.text for each in picture.iter(f"{SVG}text")][1] == "<script>alert(1)</scr…"
    assert picture[0].get("aria-label") == f"{task}, failed, this run"
    assert not list(picture.iter(f"{SVG}script"))


@given(
    st.integers(1, 25).flatmap(
        lambda count: st.tuples(
            st.just(count),
            st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=60),
        )
    ),
    st.integers(1, 30),
)
def test_no_two_runs_are_at_one_place_and_all_links_lead_to_the_right(
    given_graph: tuple[int, list[tuple[int, int]]], most: int
) -> None:
    count, pairs = given_graph
    whole = lineage(count, *((a, b) for a, b in pairs if a < b))

    drawn = whole.around("000", most)
    found = places(drawn)

    assert "000" in found
    assert len(found) == len(drawn.runs) <= most
    assert len(set(found.values())) == len(found)
    assert all(found[each["fed_by"]][0] < found[each["run"]][0] for each in drawn.links)


def test_of_many_runs_the_nearest_are_drawn_in_both_directions() -> None:
    long = lineage(100, *pairwise(range(100)))

    assert [each["id"] for each in long.around("050", 5).runs] == [
        "048",
        "049",
        "050",
        "051",
        "052",
    ]


def test_without_the_run_itself_nothing_is_drawn() -> None:
    hidden = Lineage(lineage(2, (0, 1)).runs[1:], lineage(2, (0, 1)).links)

    assert hidden.around("000", 5) == Lineage([], [])
    assert places(hidden.around("000", 5)) == {}
