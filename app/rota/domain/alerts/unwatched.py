"""Times in which nobody watched, and deadlines that leave them out. Pure.

Rota was not running, stood still, or its clock was set forward: what did not happen then may have been impossible, and
is no reason to wake somebody.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

#: How long work has after such a time to start, if it may have that long at all.
MOMENT = timedelta(seconds=10)


class UnwatchedSpan(NamedTuple):
    """A time in which nobody watched."""

    starts_at: datetime
    ends_at: datetime


def deadline(since: datetime, within: timedelta, spans: Iterable[UnwatchedSpan]) -> datetime:
    """Return when `within` has passed since `since`, without the time of the spans, which do not overlap."""
    at = since + within
    for span in sorted(spans):
        begins_at = max(span.starts_at, since)
        if begins_at < min(at, span.ends_at):
            at += span.ends_at - begins_at
    return at


def start_deadline(since: datetime, after: timedelta, spans: Iterable[UnwatchedSpan]) -> datetime:
    """Return when a run that is due at `since` is late: `after` later, and not within a moment of a span.

    What has waited for Rota itself is about to start then.
    """
    known = list(spans)
    at = deadline(since, after, known)
    moment = min(after, MOMENT)
    return max(
        [at, *(span.ends_at + moment for span in known if since < span.ends_at <= at)],
    )


def cut_at(now: datetime, spans: Iterable[UnwatchedSpan]) -> list[UnwatchedSpan]:
    """Return what is left of spans when the clock was set back to `now`: what is ahead will be watched."""
    return [
        UnwatchedSpan(span.starts_at, min(span.ends_at, now))
        for span in spans
        if span.starts_at < now
    ]
