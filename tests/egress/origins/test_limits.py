"""The limits of calls to one origin: never more at once, never more in a time than the rate allows."""

from hypothesis import given
from hypothesis import strategies as st

from rota.egress.origins.limits import LONGEST_WAIT, LimitRules, OriginLimits

FOR_EVER = 1e9


def test_as_many_calls_as_allowed_are_under_way_at_once() -> None:
    limits = OriginLimits(LimitRules(2))

    first, second = limits.enter(0, 30), limits.enter(0, 30)
    assert first is not None
    assert second is not None
    assert limits.enter(0, 30) is None
    limits.leave(first, 1.0)
    assert limits.enter(1, 30) is not None
    assert limits.enter(1, 30) is None


def test_a_call_that_never_ends_releases_its_place_when_its_time_is_up() -> None:
    limits = OriginLimits(LimitRules(1))
    number = limits.enter(0, 30)
    assert number is not None

    assert limits.enter(29.9, 60) is None
    assert limits.enter(30, 60) is not None

    limits.leave(number, 31)  # late
    assert limits.enter(31, 60) is None


def test_a_second_s_worth_of_calls_may_begin_together_and_then_one_by_one() -> None:
    limits = OriginLimits(LimitRules(1_000, rate=10))

    assert sum(limits.enter(0, FOR_EVER) is not None for _ in range(50)) == 10
    assert limits.enter(0.099, FOR_EVER) is None
    assert limits.enter(0.101, FOR_EVER) is not None
    assert limits.enter(0.102, FOR_EVER) is None


def test_a_slow_rate_lets_one_call_begin_each_time() -> None:
    limits = OriginLimits(LimitRules(10, rate=0.1))

    assert limits.enter(0, 30) is not None
    assert limits.enter(9.9, 30) is None
    assert limits.enter(10, 30) is not None


def test_an_origin_that_asks_for_a_pause_is_not_called_in_it_and_the_pause_is_bounded() -> None:
    limits = OriginLimits(LimitRules(10))

    limits.hold(5, 0)
    assert limits.enter(4.9, 30) is None
    assert limits.enter(5, 30) is not None
    limits.hold(1e9, 5)
    assert limits.enter(5 + LONGEST_WAIT - 0.1, 30) is None
    assert limits.enter(5 + LONGEST_WAIT, 30) is not None


def test_those_that_wait_are_postponed_one_after_the_other_as_fast_as_calls_have_ended() -> None:
    limits = OriginLimits(LimitRules(2))
    for _ in range(40):
        number = limits.enter(0, 30)
        assert number is not None
        limits.leave(number, 10.0)
    limits.enter(0, 30), limits.enter(0, 30)

    waits = [limits.wait(0) for _ in range(500)]

    assert [round(wait) for wait in waits[:4]] == [5, 10, 15, 20]
    # Those without a time of their own come within a minute after the first, but not together.
    late = waits[20:]
    assert all(35 <= wait <= 5 + LONGEST_WAIT for wait in late)
    assert all(sum(int(wait) == second for wait in late) <= 20 for second in range(35, 66))


@given(
    st.integers(1, 5),
    st.lists(st.tuples(st.booleans(), st.floats(0, 2)), max_size=200),
)
def test_there_are_never_more_calls_at_once_than_allowed(
    most: int, steps: list[tuple[bool, float]]
) -> None:
    limits, now, under_way = OriginLimits(LimitRules(most)), 0.0, list[int]()
    for enters, passes in steps:
        now += passes
        if enters:
            number = limits.enter(now, FOR_EVER)
            # No call is refused while there is room, either.
            assert (number is None) == (len(under_way) == most)
            under_way += [] if number is None else [number]
        elif under_way:
            limits.leave(under_way.pop(0), passes)
        assert len(under_way) <= most


@given(
    st.floats(0.05, 50),
    st.lists(st.floats(0, 3), min_size=1, max_size=300),
)
def test_never_more_calls_begin_in_any_span_than_the_rate_and_the_burst_allow(
    rate: float, gaps: list[float]
) -> None:
    rules = LimitRules(1_000_000, rate)
    limits, now, begun = OriginLimits(rules), 0.0, list[float]()
    for gap in gaps:
        now += gap
        if limits.enter(now, FOR_EVER) is not None:
            begun.append(now)

    for first in range(0, len(begun), 7):
        for last in range(first, len(begun)):
            span = begun[last] - begun[first]
            assert last - first + 1 <= rate * span + rules.burst + 1e-6


@given(st.integers(1, 8), st.floats(0, 20), st.lists(st.floats(0, 5), max_size=100))
def test_a_wait_is_a_minute_at_most_after_the_next_call_may_begin(
    most: int, rate: float, gaps: list[float]
) -> None:
    limits, now = OriginLimits(LimitRules(most, rate)), 0.0
    for gap in gaps:
        now += gap
        if limits.enter(now, now + 3) is None:
            assert 0 < limits.wait(now) <= LONGEST_WAIT + (1 / rate if rate else 0)
