"""When a notification that could not be sent is tried again."""

from datetime import timedelta

FIRST_WAIT = timedelta(minutes=1)
LONGEST_WAIT = timedelta(hours=1)


def wait_after(attempts: int) -> timedelta:
    """Return the wait after so many attempts (at least 1): a minute, doubling to an hour."""
    doublings = min(attempts - 1, 10)  # an hour is reached long before
    return min(FIRST_WAIT * (1 << doublings), LONGEST_WAIT)
