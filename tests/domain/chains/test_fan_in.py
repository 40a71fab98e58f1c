"""The pairing rule of `after`, against a model that keeps all that it has heard."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rota.domain.chains.fan_in import (
    Join,
    JoinBroken,
    JoinComplete,
    PredecessorEnded,
    PredecessorRemoved,
    PredecessorUnavailable,
    has_started,
    is_over,
    to_finding,
)
from rota.domain.primitives.ids import Id, random_id
from rota.domain.reasons import SkipReason
from rota.domain.schedules.definitions import After
from tests.support.factories import NOON

NAMES = ("a", "b", "c")
OUTCOMES = ("succeeded", "failed", "cancelled", "skipped")
SILENT = [reason for reason in SkipReason if reason not in {"predecessor", "constraint_deadline"}]


def ended(task: str, status: str = "succeeded", reason: str | None = None) -> PredecessorEnded:
    return PredecessorEnded(task=task, run_id=random_id(), status=status, reason=reason)


def waiting(*names: str) -> Join:
    return Join(dict.fromkeys(names))


skips = st.builds(
    ended, st.sampled_from(NAMES), st.just("skipped"), st.sampled_from(list(SkipReason))
)
others = st.builds(ended, st.sampled_from([*NAMES, "x"]), st.sampled_from(OUTCOMES[:3]))
gone = st.builds(
    PredecessorRemoved, task=st.sampled_from(NAMES), how=st.sampled_from(["cancelled", "deleted"])
)


class Model:
    """Keeps all that was heard since the last firing."""

    def __init__(self, names: tuple[str, ...], on: set[str]) -> None:
        self.names = names
        self.on = on
        self.heard: list[PredecessorEnded | PredecessorRemoved] = []

    def record(
        self, what: PredecessorEnded | PredecessorRemoved
    ) -> JoinComplete | JoinBroken | None:
        if what.task not in self.names or self._is_silent(what):
            return None
        self.heard.append(what)
        if not self._counts(what):
            return None if self._is_normal(what) else JoinBroken(what)
        latest = {each.task: each for each in self.heard}
        if latest.keys() != set(self.names) or not all(map(self._counts, latest.values())):
            return None
        self.heard = []
        return JoinComplete({name: self._id(latest[name]) for name in self.names})

    def _counts(self, what: PredecessorEnded | PredecessorRemoved) -> bool:
        return isinstance(what, PredecessorEnded) and what.status in self.on

    def _is_normal(self, what: PredecessorEnded | PredecessorRemoved) -> bool:
        return isinstance(what, PredecessorEnded) and what.status == "succeeded"

    def _is_silent(self, what: PredecessorEnded | PredecessorRemoved) -> bool:
        return (
            isinstance(what, PredecessorEnded)
            and what.reason in SILENT
            and "skipped" not in self.on
        )

    def _id(self, what: PredecessorEnded | PredecessorRemoved) -> Id:
        assert isinstance(what, PredecessorEnded)
        return what.run_id


@settings(deadline=None)
@given(
    names=st.sampled_from([NAMES[:1], NAMES[:2], NAMES]),
    on=st.sets(st.sampled_from(OUTCOMES), min_size=1),
    news=st.lists(others | skips | gone, max_size=30),
)
def test_a_task_fires_once_each_that_it_names_has_a_run_that_counts(
    names: tuple[str, ...], on: set[str], news: list[PredecessorEnded | PredecessorRemoved]
) -> None:
    pairing, model = waiting(*names), Model(names, on)

    for what in news:
        assert pairing.record(what, on) == model.record(what)


def test_of_several_runs_of_one_task_the_latest_counts() -> None:
    pairing = waiting("a", "b")
    first, second, other = ended("a"), ended("a"), ended("b")

    heard = [pairing.record(each, ("succeeded",)) for each in (first, second, other)]

    assert heard == [None, None, JoinComplete({"a": second.run_id, "b": other.run_id})]
    assert pairing.latest == {"a": None, "b": None}


def test_a_run_that_ended_otherwise_takes_back_what_an_earlier_one_gave() -> None:
    pairing = waiting("a", "b")
    failed = ended("a", "failed", "error")

    heard = [pairing.record(each, ("succeeded",)) for each in (ended("a"), failed, ended("b"))]

    assert heard == [None, JoinBroken(failed), None]


@pytest.mark.parametrize("status", ["failed", "cancelled", "skipped"])
def test_a_success_is_no_break_of_what_follows_on_another_end(status: str) -> None:
    pairing = waiting("a", "b")
    last = ended("b", status, "predecessor")

    heard = [pairing.record(each, (status,)) for each in (ended("a", status), ended("a"), last)]

    assert heard == [None, None, None], "the success takes back the end before it"
    assert pairing.latest == {"a": None, "b": last.run_id}


@pytest.mark.parametrize("reason", ["task_cancelled", "task_deleted"])
def test_the_runs_of_a_cancelled_task_are_covered_by_its_removal(reason: str) -> None:
    run = ended("a", "cancelled", reason)

    assert waiting("a").record(run, ("succeeded",)) is None
    assert waiting("a").record(run, ("cancelled",)) == JoinComplete({"a": run.run_id})


def test_a_run_that_was_replaced_has_ended_otherwise() -> None:
    run = ended("a", "cancelled", "replaced")

    assert waiting("a").record(run, ("succeeded",)) == JoinBroken(run)


@pytest.mark.parametrize(
    ("fields", "fired", "later", "begins", "over"),
    [
        ({}, 9, 0, True, False),
        ({"start_at": NOON}, 0, -1, False, False),
        ({"start_at": NOON}, 0, 0, True, False),
        ({"end_at": NOON}, 0, 0, True, False),
        ({"end_at": NOON}, 0, 1, True, True),
        ({"max_runs": 2}, 1, 0, True, False),
        ({"max_runs": 2}, 2, 0, True, True),
    ],
)
def test_a_schedule_has_its_time(
    fields: dict[str, Any], fired: int, later: int, begins: bool, over: bool
) -> None:
    schedule = After.model_validate({"type": "after", "tasks": ["a"], **fields})
    now = NOON + timedelta(milliseconds=later)

    assert has_started(schedule, now) is begins
    assert is_over(schedule, fired, now) is over


@pytest.mark.parametrize("why", ["missing", "cancelled", "completed", "paused"])
def test_a_task_that_is_waited_for_in_vain_is_a_warning(why: Any) -> None:
    found = to_finding(PredecessorUnavailable("extract", why))

    assert found.code == f"predecessor_{why}"
    assert "'extract'" in found.message
