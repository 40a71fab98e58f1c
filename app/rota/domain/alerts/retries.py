"""When a notification that could not be sent is tried again, and when no more."""

from datetime import timedelta

FIRST_WAIT = timedelta(minutes=1)
LONGEST_WAIT = timedelta(hours=1)
#: A notification is given up when it is so old and was tried so often: a service that was off has tried nothing.
GIVEN_UP_AFTER = timedelta(days=7)
LEAST_ATTEMPTS = 24
#: Of one task and kind, so many wait to be tried again.
MOST_WAITING = 20


def wait_after(attempts: int) -> timedelta:
    """Return the wait after so many attempts (at least 1): a minute, doubling to an hour."""
    doublings = min(attempts - 1, 10)  # an hour is reached long before
    return min(FIRST_WAIT * (1 << doublings), LONGEST_WAIT)


def is_given_up(attempts: int, age: timedelta) -> bool:
    """Return whether a notification of that age is not tried again after so many attempts."""
    return age >= GIVEN_UP_AFTER and attempts >= LEAST_ATTEMPTS
