"""The circuit of an origin: it opens after failures in a row, and one probe at a time decides when it closes."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.egress.origins.circuit_breaker import (
    Change,
    CircuitBreaker,
    CircuitRules,
    Ticket,
    Verdict,
)

RULES = CircuitRules(failures=3, first_open=5.0, longest_open=60.0)
UP, DOWN, UNKNOWN = Verdict.UP, Verdict.DOWN, Verdict.UNKNOWN


def circuit(rules: CircuitRules = RULES) -> CircuitBreaker:
    return CircuitBreaker(rules, "http://a.example")


def opened(at: float = 0.0, rules: CircuitRules = RULES) -> CircuitBreaker:
    made = circuit(rules)
    changes = [call(made, DOWN, at) for _ in range(rules.failures)]
    assert changes[-1] is Change.OPENED
    return made


def call(made: CircuitBreaker, verdict: Verdict, now: float) -> Change | None:
    ticket = made.admit(now, now + 30)
    assert ticket is not None
    return made.report(ticket, verdict, now)


def probe(made: CircuitBreaker, now: float) -> Ticket:
    ticket = made.admit(now, now + 30)
    assert ticket is not None
    assert ticket.is_probe
    return ticket


def open_times(made: CircuitBreaker, now: float) -> Iterator[float]:
    """Return how long the circuit is open each time, while every probe fails."""
    while True:
        until = made.come_back_at(now)
        yield until - now
        now = until
        made.report(probe(made, now), DOWN, now)


def test_failures_in_a_row_open_it_and_one_success_among_them_does_not() -> None:
    made = circuit()

    changes = [call(made, verdict, 0) for verdict in (DOWN, DOWN, UP, DOWN, DOWN, UNKNOWN)]

    assert changes == [None] * 6
    assert made.is_closed
    assert call(made, DOWN, 0) is Change.OPENED
    assert made.admit(0, 30) is None


def test_it_never_opens_with_no_number_of_failures() -> None:
    made = circuit(CircuitRules(0, 5, 60))

    assert [call(made, DOWN, 0) for _ in range(100)] == [None] * 100


def test_one_probe_passes_after_the_open_time_and_its_success_closes_it() -> None:
    made = opened()
    until = made.come_back_at(0)

    assert made.admit(until - 0.001, 60) is None
    ticket = probe(made, until)
    assert made.admit(until, 60) is None
    assert made.report(ticket, UP, until + 1) is Change.CLOSED
    assert call(made, DOWN, until + 1) is None
    assert made.is_closed


def test_each_failed_probe_doubles_the_open_time_up_to_the_bound() -> None:
    times = open_times(opened(), 0)

    found = [next(times) for _ in range(8)]

    assert all(
        0.8 * longest <= time <= longest
        for time, longest in zip(found, (5, 10, 20, 40, 60, 60, 60, 60), strict=True)
    )
    assert found == [next(again) for again in [open_times(opened(), 0)] for _ in range(8)]


def test_a_circuit_that_was_closed_opens_for_the_first_time_again() -> None:
    made = opened()
    now = 0.0
    for verdict in (DOWN, DOWN, UP):
        now = made.come_back_at(now)
        made.report(probe(made, now), verdict, now)

    for _ in range(3):
        call(made, DOWN, now)

    assert made.come_back_at(now) - now <= 5


def test_calls_that_began_before_it_opened_neither_close_it_nor_keep_it_open() -> None:
    made = circuit()
    up, down = made.admit(0, 30), made.admit(0, 30)
    assert up is not None
    assert down is not None
    for _ in range(3):
        call(made, DOWN, 1)
    until = made.come_back_at(1)

    assert (made.report(up, UP, 2), made.report(down, DOWN, 2)) == (None, None)

    assert not made.is_closed
    assert made.come_back_at(2) == until
    probe(made, until)


def test_a_probe_that_was_not_made_leaves_its_place_to_another_one() -> None:
    made = opened()
    until = made.come_back_at(0)

    assert made.report(probe(made, until), UNKNOWN, until) is None

    assert made.report(probe(made, until), UP, until) is Change.CLOSED


def test_a_probe_that_is_never_reported_gives_way_when_its_time_is_up_and_counts_no_more() -> None:
    made = opened()
    until = made.come_back_at(0)
    hangs = probe(made, until)

    assert made.admit(until + 29.9, until + 60) is None
    second = probe(made, until + 30)

    assert made.report(hangs, UP, until + 31) is None
    assert not made.is_closed
    assert made.report(second, UP, until + 31) is Change.CLOSED


def test_those_that_wait_come_back_in_groups_after_the_first_within_the_longest_open_time() -> None:
    made = opened()

    found = [made.come_back_at(0) for _ in range(10_000)]

    assert found[0] == min(found)
    assert max(found) - found[0] < 60
    # 50 a second, until the time is used up.
    assert all(found.count(time) <= 10 * -(-10_000 // 3_000) for time in set(found))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["enter", "end"]), st.sampled_from(list(Verdict)), st.floats(0, 40)
        ),
        max_size=200,
    )
)
def test_there_is_never_more_than_one_probe_and_no_call_while_it_is_open(
    steps: list[tuple[str, Verdict, float]],
) -> None:
    made, now, under_way = circuit(), 0.0, list[Ticket]()
    for step, verdict, passes in steps:
        now += passes
        if step == "enter":
            was_closed = made.is_closed
            ticket = made.admit(now, now + 1_000_000)
            if ticket is not None:
                assert ticket.is_probe != was_closed
                under_way.append(ticket)
            else:
                assert made.come_back_at(now) >= now
        elif under_way:
            made.report(under_way.pop(0), verdict, now)
        probes = sum(each.is_probe and each.era == made._era for each in under_way)
        assert probes <= (0 if made.is_closed else 1)


@pytest.mark.parametrize("seed", ["http://a.example", "http://b.example"])
def test_circuits_that_opened_together_do_not_probe_together(seed: str) -> None:
    made = CircuitBreaker(RULES, seed + "/other")
    for _ in range(3):
        call(made, DOWN, 0)

    assert made.come_back_at(0) != opened().come_back_at(0)
