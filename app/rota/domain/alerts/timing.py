"""Which alerts follow from time alone, and when a task is checked next. Pure: the time is an argument.

- `success_within` and `expect_every` count from the last success (or ping), or from when the task is watched: since its
  registration with the rule, or its resumption. They end with a success (or ping) that came since.
- `on_late` counts from when a run is due. It ends when a run starts in time; or, if no fire time is ahead, when none
  waits any more.

Times in which nobody watched do not count (`unwatched`).
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from rota.domain.alerts.defaults import NO_RULES, Rules
from rota.domain.alerts.rules import AlertKind
from rota.domain.alerts.unwatched import UnwatchedSpan, deadline, start_deadline
from rota.domain.primitives.ids import Id
from rota.domain.primitives.texts.english import duration
from rota.domain.primitives.times.instants import format_instant
from rota.domain.primitives.value_class import value_class

#: The alerts that follow from time.
TIMED = (AlertKind.NO_SUCCESS, AlertKind.NO_PING, AlertKind.LATE)
#: How often a task is checked, at most: while an alert is raised, and for runs that nothing announces.
_MOST_OFTEN = timedelta(seconds=5)
_WHILE_RAISED = timedelta(seconds=30)
_MOMENTS = timedelta(seconds=1)


@value_class(kw_only=True)
class Waiting:
    """The run that has been due for longest and has not started; or, without an id, a fire time."""

    due_at: datetime
    run_id: Id | None = None
    #: The time that the run is for; it may have been made later.
    scheduled_for: datetime | None = None


@value_class()
class Started:
    """The latest run that has started."""

    due_at: datetime
    started_at: datetime


@value_class(kw_only=True)
class Watched:
    """What is known of a task."""

    name: str
    registered_at: datetime
    #: It has not completed. Runs that wait may be late anyway.
    is_active: bool
    watched_from: datetime
    last_success_at: datetime | None = None
    last_ping_at: datetime | None = None
    next_fire_at: datetime | None = None
    #: Runs of it may come without a fire time (`after`, `fixed_delay`).
    is_unannounced: bool = False
    waiting: Waiting | None = None
    started: Started | None = None
    #: Since when alerts are raised.
    raised: Mapping[AlertKind, datetime]


class TimedEdge(NamedTuple):
    """An alert is raised, or has ended; `details` are for its event."""

    kind: AlertKind
    raised: bool
    details: dict[str, str]
    run_id: Id | None = None


class Look(NamedTuple):
    """What a look at a task has found, and when to look again; None: there is nothing to wait for."""

    edges: list[TimedEdge]
    check_at: datetime | None


def has_timed_rules(rules: Rules) -> bool:
    """Return whether an alert of a task can follow from time."""
    return rules is not NO_RULES and any(rules.of(kind) is not None for kind in TIMED)


def first_check(
    rules: Rules, now: datetime, next_fire_at: datetime | None, *, is_unannounced: bool
) -> datetime | None:
    """Return when a task that is watched from now on is checked first; `is_unannounced` as in Watched."""
    made = Watched(
        name="",
        registered_at=now,
        is_active=True,
        watched_from=now,
        next_fire_at=next_fire_at,
        is_unannounced=is_unannounced,
        raised={},
    )
    return look(rules, made, now, ()).check_at if has_timed_rules(rules) else None


def look(rules: Rules, seen: Watched, now: datetime, spans: Sequence[UnwatchedSpan]) -> Look:
    """Return what follows from the time for a task that is not paused; `spans`: when nobody watched."""
    looks = [
        _absence(AlertKind.NO_SUCCESS, _success_within(rules), seen, now, spans),
        _absence(AlertKind.NO_PING, _ping_within(rules), seen, now, spans),
        _lateness(rules, seen, now, spans),
    ]
    times = [each.check_at for each in looks if each.check_at is not None]
    return Look([edge for each in looks for edge in each.edges], min(times, default=None))


def _success_within(rules: Rules) -> timedelta | None:
    rule = None if rules.of(AlertKind.NO_SUCCESS) is None else rules.on_failure
    return None if rule is None else rule.success_within


def _ping_within(rules: Rules) -> timedelta | None:
    return None if rules.of(AlertKind.NO_PING) is None else rules.expect_every


# ------------------------------------------------------------------------------- success_within, expect_every
def _absence(
    kind: AlertKind,
    within: timedelta | None,
    seen: Watched,
    now: datetime,
    spans: Sequence[UnwatchedSpan],
) -> Look:
    raised_at = seen.raised.get(kind)
    if within is None:
        return Look(list(_removed(kind, raised_at)), None)
    last = _last_sign(kind, seen, now)
    at = deadline(max(seen.watched_from, last or seen.watched_from), within, spans)
    if raised_at is None:
        if not seen.is_active:
            return Look([], None)
        if now < at:
            return Look([], at)
        edge = TimedEdge(kind, True, _absent(kind, within, seen, last))
        return Look([edge], now + min(within, _WHILE_RAISED))
    if last is None or last <= raised_at or now >= at:
        return Look(
            [], now + min(within, _WHILE_RAISED) if seen.is_active or seen.waiting else None
        )
    return Look([TimedEdge(kind, False, {})], at if seen.is_active else None)


def _last_sign(kind: AlertKind, seen: Watched, now: datetime) -> datetime | None:
    """Return when a task was heard of last. A time that is ahead was written before the clock was set back."""
    signs = [seen.last_success_at]
    if kind is AlertKind.NO_PING:
        signs.append(seen.last_ping_at)
    return max((at for at in signs if at is not None and at <= now), default=None)


def _absent(
    kind: AlertKind, within: timedelta, seen: Watched, last: datetime | None
) -> dict[str, str]:
    what = "succeeded" if kind is AlertKind.NO_SUCCESS else "been heard of"
    before = (
        f"never since it was registered at {format_instant(seen.registered_at)}"
        if last is None
        else f"the last time was {format_instant(last)}"
    )
    return {"message": f"Task {seen.name!r} has not {what} for {duration(within)}: {before}."}


# ------------------------------------------------------------------------------------------------------ on_late
def _lateness(rules: Rules, seen: Watched, now: datetime, spans: Sequence[UnwatchedSpan]) -> Look:
    rule, raised_at = rules.of(AlertKind.LATE), seen.raised.get(AlertKind.LATE)
    if rule is None or rules.on_late is None:
        return Look(list(_removed(AlertKind.LATE, raised_at)), None)
    after = rules.on_late.after
    first = min(_due(seen), key=lambda each: each.due_at, default=None)
    at = None if first is None else start_deadline(first.due_at, after, spans)
    is_late = at is not None and at <= now
    if raised_at is None:
        if first is None or not is_late:
            return Look([], _next_look(seen, now, at, after))
        return Look(
            [TimedEdge(AlertKind.LATE, True, _late(seen, first, after), first.run_id)],
            now + min(after, _WHILE_RAISED),
        )
    if is_late or not _is_in_time_again(seen, raised_at, after, spans):
        return Look([], now + min(after, _WHILE_RAISED))
    return Look([TimedEdge(AlertKind.LATE, False, {})], _next_look(seen, now, at, after))


def _due(seen: Watched) -> Iterator[Waiting]:
    """Return what is to start next. A time before the task was watched, or was paused, does not count."""
    if seen.waiting is not None:
        due_at = max(seen.waiting.due_at, seen.watched_from)
        yield Waiting(
            due_at=due_at, run_id=seen.waiting.run_id, scheduled_for=seen.waiting.scheduled_for
        )
    if seen.is_active and seen.next_fire_at is not None:
        yield Waiting(due_at=max(seen.next_fire_at, seen.watched_from))


def _next_look(
    seen: Watched, now: datetime, at: datetime | None, after: timedelta
) -> datetime | None:
    if at is not None:
        return at
    return now + max(after, _MOST_OFTEN) if seen.is_active and seen.is_unannounced else None


def _is_in_time_again(
    seen: Watched, raised_at: datetime, after: timedelta, spans: Sequence[UnwatchedSpan]
) -> bool:
    """Return whether a run has started in time since, or none can be late any more."""
    if seen.waiting is None and (seen.next_fire_at is None or not seen.is_active):
        return True
    last = seen.started
    if last is None or last.started_at < raised_at:
        return False
    due_at = max(last.due_at, seen.watched_from)
    return last.started_at <= start_deadline(due_at, after, spans)


def _late(seen: Watched, first: Waiting, after: timedelta) -> dict[str, str]:
    """Return what is late; what holds the run back is left to whoever can look for that."""
    if first.run_id is None:
        message = (
            f"The fire time {format_instant(first.due_at)} of task {seen.name!r} has not been fired for "
            f"{duration(after)}."
        )
        return {"message": message}
    planned = first.scheduled_for or first.due_at
    # A run that is inserted moments after its fire time is known by that.
    is_as_planned = first.due_at - planned < _MOMENTS
    since = "" if is_as_planned else f" of {format_instant(first.due_at)}"
    message = (
        f"The run of task {seen.name!r} for {format_instant(planned)} has not started within "
        f"{duration(after)}{since}."
    )
    return {"message": message}


def _removed(kind: AlertKind, raised_at: datetime | None) -> Iterator[TimedEdge]:
    """An alert whose rule is gone ends; there is nobody to notify."""
    if raised_at is not None:
        yield TimedEdge(kind, False, {})
