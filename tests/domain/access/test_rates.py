"""Rates and failed logins, by a clock that the tests move."""

import pytest

from rota.domain.access import failed_logins
from rota.domain.access.failed_logins import FailedLogins, source_of
from rota.domain.access.rates import TokenBucket

HOME, ELSEWHERE = "192.0.2.7", "192.0.2.8"
RIGHT, WRONG = b"right", b"wrong"


# ------------------------------------------------------------------------------------------------------------ rates
def test_as_many_as_the_rate_may_come_at_once_and_the_next_one_waits() -> None:
    bucket = TokenBucket.full(5, 100.0)

    assert [bucket.take(100.0) for _ in range(5)] == [0] * 5
    assert bucket.take(100.0) == pytest.approx(0.2)
    assert bucket.take(100.2) == 0


@pytest.mark.parametrize("rate", [0.1, 0.5, 1, 3, 7.5])
def test_in_a_long_time_no_more_than_the_rate_is_let_through(rate: float) -> None:
    bucket = TokenBucket.full(rate, 0.0)

    let = sum(bucket.take(tick / 100) == 0 for tick in range(100 * 100))

    assert let <= rate * 100 + max(1, rate) + 1
    assert let >= rate * 100 - 1


def test_after_the_wait_that_it_names_a_request_is_let_through() -> None:
    bucket = TokenBucket.full(0.25, 0.0)
    bucket.take(0.0)

    assert bucket.take(bucket.take(0.0)) == 0


def test_what_was_not_used_is_not_saved_up() -> None:
    bucket = TokenBucket.full(2, 0.0)

    assert [bucket.take(1_000.0) > 0 for _ in range(3)] == [False, False, True]


# ----------------------------------------------------------------------------------------------------------- logins
def failing(times: int, at: float = 0.0, address: str = HOME) -> FailedLogins:
    logins = FailedLogins(3)
    for number in range(times):
        logins.failed(address, b"%d" % number, at)
    return logins


def test_after_some_failures_an_address_waits_until_the_first_one_is_a_minute_old() -> None:
    assert failing(2).wait(HOME, WRONG, 1.0) == 0
    assert failing(3).wait(HOME, WRONG, 1.0) == 59
    assert failing(3).wait(HOME, WRONG, 60.0) == 0
    assert failing(3).wait(ELSEWHERE, WRONG, 1.0) == 0


def test_while_it_waits_the_right_key_is_not_tried_either() -> None:
    """Else each attempt would show whether it is right."""
    assert failing(3).wait(HOME, RIGHT, 1.0) > 0


def test_a_key_that_was_accepted_from_the_address_is_not_locked_out_by_others() -> None:
    logins = FailedLogins(3)
    logins.accepted(HOME, RIGHT)
    for number in range(100):
        logins.failed(HOME, b"%d" % number, 0.0)

    assert logins.wait(HOME, RIGHT, 1.0) == 0
    assert logins.wait(HOME, WRONG, 1.0) > 0


def test_a_key_that_is_refused_now_waits_as_others_do() -> None:
    logins = failing(3)
    logins.accepted(HOME, RIGHT)
    logins.failed(HOME, RIGHT, 0.0)

    assert logins.wait(HOME, RIGHT, 1.0) > 0


def test_it_is_reported_once_that_an_address_has_to_wait() -> None:
    logins = FailedLogins(3)

    assert [logins.failed(HOME, WRONG, 0.0) for _ in range(5)] == [False, False, True, False, False]


def test_without_a_limit_nobody_waits() -> None:
    logins = FailedLogins(0)

    assert not any(logins.failed(HOME, WRONG, 0.0) for _ in range(100))
    assert logins.wait(HOME, WRONG, 0.0) == 0


def test_the_addresses_of_one_network_of_ipv6_are_one() -> None:
    assert source_of("2001:db8::1") == source_of("2001:db8::ffff:2")
    assert source_of("2001:db8:0:1::1") != source_of("2001:db8::1")
    assert source_of("::ffff:192.0.2.7") == HOME
    assert source_of("") == ""


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failed_logins, "MOST", 10)
    logins = FailedLogins(3)

    for number in range(1_000):
        logins.failed(f"10.0.{number // 256}.{number % 256}", WRONG, 0.0)
        logins.accepted(f"10.1.{number // 256}.{number % 256}", RIGHT)

    assert len(logins._failures) <= 10
    assert len(logins._accepted) <= 10
