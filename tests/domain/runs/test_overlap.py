"""Overlap: the places of new runs in the line of their task."""

import pytest

from rota.domain.policies import MOST_BUFFERED, OverlapPolicy
from rota.domain.primitives.ids import Id
from rota.domain.runs.overlap import Line, admit
from tests.support.factories import numbered

ALONE = Line()
BUSY = Line(last=numbered(1), busy=numbered(1))
ENDING = Line(last=numbered(1))  # it was requested to end
TWO_IN_LINE = Line(last=numbered(2), waiting=1, busy=numbered(1))
FULL = Line(last=numbered(2), waiting=MOST_BUFFERED, busy=numbered(1))
FIRST, SECOND = numbered(11), numbered(12)


def _places(policy: str, line: Line, *new: Id) -> list[tuple[str, str | None, Id | None]]:
    places = admit(OverlapPolicy(policy), line, new).places
    return [(str(place.status), place.reason, place.behind) for place in places]


@pytest.mark.parametrize("policy", list(OverlapPolicy))
def test_a_run_that_meets_no_other_is_queued(policy: OverlapPolicy) -> None:
    admitted = admit(policy, ALONE, [FIRST])

    assert [place.status for place in admitted.places] == ["queued"]
    assert not admitted.replaces


@pytest.mark.parametrize("line", [ALONE, BUSY, FULL])
def test_runs_that_may_overlap_are_queued(line: Line) -> None:
    assert _places("allow", line, FIRST, SECOND) == [("queued", None, None)] * 2


@pytest.mark.parametrize("line", [BUSY, TWO_IN_LINE, FULL])
def test_a_run_of_a_busy_task_that_skips_is_skipped(line: Line) -> None:
    assert _places("skip", line, FIRST) == [("skipped", "overlap", None)]


def test_a_run_waits_for_one_that_was_requested_to_end() -> None:
    assert _places("skip", ENDING, FIRST) == [("blocked", None, numbered(1))]


@pytest.mark.parametrize("policy", ["skip", "buffer"])
def test_several_runs_wait_one_behind_the_other(policy: str) -> None:
    places = _places(policy, BUSY, FIRST, SECOND)

    assert places == [("blocked", None, numbered(1)), ("blocked", None, FIRST)]
    assert admit(OverlapPolicy(policy), BUSY, [FIRST, SECOND]).line == Line(SECOND, 2, numbered(1))


def test_a_run_beyond_the_bound_of_the_buffer_is_skipped() -> None:
    assert _places("buffer", FULL, FIRST) == [("skipped", "overlap", None)]


@pytest.mark.parametrize(("line", "replaces"), [(ALONE, False), (BUSY, True), (TWO_IN_LINE, True)])
def test_the_last_of_several_runs_replaces_the_others(line: Line, replaces: object) -> None:
    admitted = admit(OverlapPolicy.REPLACE, line, [FIRST, SECOND])

    assert [place.status for place in admitted.places] == ["cancelled", "queued"]
    assert admitted.places[0].reason == "replaced"
    assert admitted.replaces is replaces


@pytest.mark.parametrize("policy", list(OverlapPolicy))
def test_without_new_runs_nothing_changes(policy: OverlapPolicy) -> None:
    assert admit(policy, BUSY, []) == ((), BUSY, False)
