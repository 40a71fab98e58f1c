"""Alerts that follow from time: looking only when a check is due finds the same as looking all the time."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.domain.alerts.defaults import Rules
from rota.domain.alerts.rules import AlertKind, FailureRule, LateRule
from rota.domain.alerts.timing import (
    Started,
    TimedEdge,
    Waiting,
    Watched,
    first_check,
    has_timed_rules,
    look,
)
from rota.domain.alerts.unwatched import UnwatchedSpan
from tests.support.factories import HOUR, MINUTE, NOON

SECOND = timedelta(seconds=1)
WITHIN = Rules(on_failure=FailureRule.model_validate({"task": "ops", "success_within": "10m"}))
EXPECTING = Rules(on_failure=FailureRule.model_validate({"task": "ops"}), expect_every=10 * MINUTE)
LATE = Rules(on_late=LateRule.model_validate({"task": "ops", "after": "3m"}))
END = 120


def watched(**fields: Any) -> Watched:
    own: dict[str, Any] = {"name": "t", "is_active": True, "watched_from": NOON, "raised": {}}
    own["registered_at"] = NOON
    return Watched(**own | fields)


@dataclass
class History:
    """What happens in the life of a task, in minutes after NOON."""

    rules: Rules
    #: What is known of the task at a minute.
    at: Callable[[int], Mapping[str, Any]]
    spans: Sequence[UnwatchedSpan] = ()
    seen: list[tuple[int, AlertKind, bool]] = field(default_factory=list)

    def follow(self, minutes: Iterable[int] | None) -> list[tuple[int, AlertKind, bool]]:
        """Look at these minutes, or only when a look says so; return the edges."""
        raised: dict[AlertKind, datetime] = {}
        edges: list[tuple[int, AlertKind, bool]] = []
        given_minutes = None if minutes is None else set(minutes)
        check_at: datetime | None = NOON
        for minute in range(END):
            now = NOON + minute * MINUTE
            is_due = check_at is not None and now >= check_at
            if not (is_due if given_minutes is None else minute in given_minutes):
                continue
            seen = watched(raised=dict(raised), **self.at(minute))
            found = look(self.rules, seen, now, self.spans)
            check_at = found.check_at
            for edge in found.edges:
                edges.append((minute, edge.kind, edge.raised))
                if edge.raised:
                    raised[edge.kind] = now
                else:
                    del raised[edge.kind]
        return edges


def of_successes(successes: Iterable[int]) -> Callable[[int], Mapping[str, Any]]:
    """What is known of a task that succeeds at these minutes."""
    known = sorted(successes)

    def at(minute: int) -> Mapping[str, Any]:
        past = [each for each in known if each <= minute]
        return {"last_success_at": NOON + past[-1] * MINUTE if past else None}

    return at


def of_runs(runs: Mapping[int, int]) -> Callable[[int], Mapping[str, Any]]:
    """What is known of a task that fires at some minutes; by those, how many minutes later the run starts."""

    def at(minute: int) -> Mapping[str, Any]:
        fired = {due: due + delay for due, delay in runs.items() if due <= minute}
        ahead = [due for due in runs if due > minute]
        waiting = [due for due, starts in fired.items() if starts > minute]
        started = [due for due, starts in fired.items() if starts <= minute]
        return {
            "next_fire_at": NOON + min(ahead) * MINUTE if ahead else None,
            "waiting": Waiting(due_at=NOON + min(waiting) * MINUTE, run_id=None)
            if waiting
            else None,
            "started": Started(NOON + max(started) * MINUTE, NOON + fired[max(started)] * MINUTE)
            if started
            else None,
        }

    return at


successes = st.sets(st.integers(0, END), max_size=12)
runs = st.dictionaries(st.integers(0, END), st.integers(0, 15), max_size=12)


@given(successes=successes, rules=st.sampled_from([WITHIN, EXPECTING]))
def test_an_absence_is_found_at_its_minute_by_looking_only_when_a_check_is_due(
    successes: set[int], rules: Rules
) -> None:
    history = History(rules, of_successes(successes))

    eager, lazy = history.follow(range(END)), history.follow(None)

    assert [each for each in lazy if each[2]] == [each for each in eager if each[2]]
    assert [each[1:] for each in lazy] == [each[1:] for each in eager]


@given(successes=successes)
def test_an_alert_is_raised_iff_there_was_no_success_for_so_long(successes: set[int]) -> None:
    edges = History(WITHIN, of_successes(successes)).follow(range(END))

    raised = False
    for minute in range(END):
        for _, _, is_raised in (each for each in edges if each[0] == minute):
            assert is_raised is not raised  # edge by edge
            raised = is_raised
        last = max((each for each in successes if each <= minute), default=0)
        assert raised is (minute - last >= 10)


@given(runs=runs)
def test_lateness_is_found_at_its_minute_by_looking_only_when_a_check_is_due(
    runs: dict[int, int],
) -> None:
    history = History(LATE, of_runs(runs))

    eager, lazy = history.follow(range(END)), history.follow(None)

    # One who looks seldom while an alert is raised may see that it has ended later, or not at all.
    assert lazy[:1] == eager[:1]
    assert [each[2] for each in lazy] == [index % 2 == 0 for index in range(len(lazy))]


@given(runs=runs)
def test_a_run_is_late_iff_it_has_not_started_in_time(runs: dict[int, int]) -> None:
    edges = History(LATE, of_runs(runs)).follow(range(END))

    late = sorted(due + 3 for due, delay in runs.items() if delay > 3 and due + 3 < END)
    raised = [minute for minute, _, is_raised in edges if is_raised]
    assert raised[:1] == late[:1]
    assert set(raised) <= set(late)


@given(
    successes=successes,
    bounds=st.tuples(st.integers(0, END), st.integers(1, 60)),
)
def test_nothing_is_raised_for_a_time_in_which_nobody_watched(
    successes: set[int], bounds: tuple[int, int]
) -> None:
    begins, length = bounds
    ends = begins + length
    span = UnwatchedSpan(NOON + begins * MINUTE, NOON + ends * MINUTE)
    known = {each for each in successes if not begins <= each < ends}
    watching = [each for each in range(END) if not begins <= each < ends]

    edges = History(WITHIN, of_successes(known), [span]).follow(watching)

    for minute, _, is_raised in edges:
        if is_raised:
            last = max((each for each in known if each <= minute), default=0)
            assert len([each for each in watching if last <= each < minute]) >= 10


@pytest.mark.parametrize("rules", [WITHIN, EXPECTING])
def test_a_success_that_lies_ahead_is_none(rules: Rules) -> None:
    seen = watched(last_success_at=NOON + HOUR)

    found = look(rules, seen, NOON + 10 * MINUTE, ())

    assert [edge.raised for edge in found.edges] == [True]


def test_a_task_that_has_ended_raises_no_absence_and_may_still_recover() -> None:
    ended = watched(is_active=False)
    assert look(WITHIN, ended, NOON + HOUR, ()) == ([], None)

    raised = {AlertKind.NO_SUCCESS: NOON + HOUR}
    later = watched(is_active=False, raised=raised, last_success_at=NOON + HOUR + MINUTE)
    found = look(WITHIN, later, NOON + HOUR + 2 * MINUTE, ())

    assert found == ([TimedEdge(AlertKind.NO_SUCCESS, False, {})], None)


def test_an_alert_whose_rule_is_gone_ends() -> None:
    raised = dict.fromkeys((AlertKind.NO_SUCCESS, AlertKind.NO_PING, AlertKind.LATE), NOON)

    found = look(Rules(), watched(raised=raised), NOON + HOUR, ())

    assert [(edge.kind, edge.raised) for edge in found.edges] == [
        (AlertKind.NO_SUCCESS, False),
        (AlertKind.NO_PING, False),
        (AlertKind.LATE, False),
    ]
    assert found.check_at is None


def test_expect_every_needs_somebody_to_notify() -> None:
    assert not has_timed_rules(Rules(expect_every=HOUR))
    assert has_timed_rules(EXPECTING)


@pytest.mark.parametrize(
    ("rules", "next_fire_at", "is_unannounced", "expected"),
    [
        (WITHIN, None, False, NOON + 10 * MINUTE),
        (LATE, NOON + HOUR, False, NOON + HOUR + 3 * MINUTE),
        (LATE, None, False, None),
        (LATE, None, True, NOON + 3 * MINUTE),
        (Rules(), NOON + HOUR, True, None),
    ],
)
def test_the_first_look_is_when_something_may_come_true(
    rules: Rules, next_fire_at: datetime | None, is_unannounced: bool, expected: datetime | None
) -> None:
    at = first_check(rules, NOON, next_fire_at, is_unannounced=is_unannounced)

    assert at == expected
