"""Explanations over random histories: that of each fire time matches its run, or what happens later."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rota.domain.explain.model import Explanation
from rota.domain.runs.model import Run
from rota.domain.runs.outcomes import Lost, Outcome
from rota.domain.runs.status import RunStatus, Trigger
from rota.domain.schedules.base import Anchor
from rota.domain.schedules.fire_times import fire_times
from rota.domain.schedules.requested_times import RequestedTime
from rota.domain.tasks.definition import TaskStatus
from rota.store.explain.facts import explain_task
from tests.support.factories import BROKEN, HOUR, MINUTE, NOON, World
from tests.support.torture import Part, torture

SECOND = timedelta(seconds=1)
EXCLUDED_FROM, EXCLUDED_TO = "2026-03-10T12:20:00+00:00", "2026-03-10T12:50:00+00:00"
EXCLUDED = [{"from": EXCLUDED_FROM, "to": EXCLUDED_TO}]
TEN = {"type": "cron", "expression": "*/10 * * * *"}
SCHEDULES: list[dict[str, Any]] = [
    {"type": "interval", "every": "10m"},
    {"type": "interval", "every": "7m", "jitter": "5m"},
    {"type": "interval", "every": "20m", "flex": "10m", "exclude": EXCLUDED},
    TEN | {"exclude": EXCLUDED},
    TEN | {"max_runs": 3, "jitter": "4m"},
    TEN | {"end_at": "2026-03-10T13:10:00Z"},
    {"type": "any_of", "schedules": [TEN | {"jitter": "8m"}, {"type": "interval", "every": "25m"}]},
    {"type": "any_of", "schedules": [TEN | {"jitter": "3m"}, TEN], "jitter": "2m", "max_runs": 6},
    {"type": "once", "at": "2026-03-10T12:30:00Z"},
]
STEPS = st.lists(
    st.sampled_from(
        [
            *("fire", "fire", "fire", "late", "behind"),
            *("work", "fail", "lose", "run", "pause", "resume", "all"),
        ]
    ),
    min_size=2,
    max_size=9,
)
#: The verdict about a run, by its status.
_OF_RUNS: dict[RunStatus, set[str]] = {
    RunStatus.SUCCEEDED: {"ran"},
    RunStatus.FAILED: {"failed"},
    RunStatus.CANCELLED: {"cancelled"},
    RunStatus.SKIPPED: {"skipped"},
    RunStatus.RUNNING: {"running"},
    RunStatus.QUEUED: {"waiting", "retrying"},
    RunStatus.BLOCKED: {"blocked", "paused"},
}


def _step(world: World, step: str) -> None:
    """Do something to the task, or let a minute pass if that cannot be done to it."""
    task = world.task()
    match step, task.status:
        case "fire", TaskStatus.ACTIVE if task.next_fire_at is not None:
            world.clock.set(max(task.next_fire_at, world.now))
            world.fire()
        case "late", _:
            world.clock.advance(33 * MINUTE)
            world.fire()
        case "behind", _:
            world.clock.advance(33 * MINUTE)
        case "work" | "fail" | "lose", _:
            _end_all(world, step)
        case "run", TaskStatus.ACTIVE | TaskStatus.PAUSED if not _unfinished(world):
            world.clock.advance(13 * SECOND)
            world.run_now()
        case "pause", TaskStatus.ACTIVE:
            world.pause()
        case "resume" | "all", TaskStatus.PAUSED:
            world.clock.advance(12 * MINUTE)
            world.resume(catch_up="all" if step == "all" else "none")
        case _:
            world.clock.advance(MINUTE)


def _end_all(world: World, step: str) -> None:
    outcomes: dict[str, Outcome] = {"fail": BROKEN, "lose": Lost()}
    outcome = outcomes.get(step)
    for claimed in world.claim():
        if outcome is None:
            world.succeed(claimed)
        else:
            world.end(claimed, outcome)


def _unfinished(world: World) -> bool:
    return any(not run.status.final for run in world.runs())


def _ask(world: World, at: datetime) -> Explanation:
    with world.database.read() as connection:
        return explain_task(connection, world.task(), world.now, RequestedTime(at, at))


def _answering(runs: Sequence[Run], at: datetime) -> Run | None:
    """Return the run of the schedule that represents a fire time, by itself or as one of a span."""
    mine = [run for run in runs if run.trigger is Trigger.SCHEDULE]
    exact = [run for run in mine if run.scheduled_for == at]
    spans = [
        run
        for run in mine
        if run.scheduled_until and run.scheduled_for <= at <= run.scheduled_until
    ]
    return next(iter(exact or spans), None)


def _check_past(world: World, at: datetime, found: Explanation) -> None:
    run = _answering(world.runs(), at)
    if run is not None:
        assert found.run is not None
        assert found.run.id == run.id
        assert found.verdict in _OF_RUNS[run.status], found
        only_recorded = run.reason in {"excluded", "dst_gap"}
        assert found.expected == (not only_recorded)
        return
    # Fire times without a run: those that are due, those of a pause, and those after the last one.
    task = world.task()
    wanted = {
        TaskStatus.ACTIVE: {"skipped" if _is_excluded(world, at) else "due"},
        TaskStatus.PAUSED: {"paused"},
        TaskStatus.COMPLETED: {"completed", "not_scheduled"},
    }
    assert found.verdict in wanted[task.status], found
    assert not found.expected or task.status is not TaskStatus.COMPLETED


def _is_excluded(world: World, at: datetime) -> bool:
    excluded = getattr(world.task().definition.schedule, "exclude", ())
    start, end = map(datetime.fromisoformat, (EXCLUDED_FROM, EXCLUDED_TO))
    return bool(excluded) and start <= at < end


def _check_ahead(world: World, explained: dict[datetime, Explanation]) -> None:
    """Advance the time, and compare the explanations of the future with what happens."""
    if world.task().status is TaskStatus.PAUSED:
        return
    last = max(explained, default=world.now)
    while (task := world.task()).next_fire_at is not None and task.next_fire_at <= last:
        world.clock.set(max(task.next_fire_at, world.now))
        world.fire()
    for at, found in explained.items():
        run = _answering(world.runs(), at)
        if found.verdict == "in_future":
            assert found.expected
            assert run is not None
            assert run.reason in {None, "overlap"}
        elif found.verdict == "skipped":
            assert run is not None
            assert run.reason == found.reason
        else:
            assert found.verdict in {"not_scheduled", "completed"}, found
            assert not found.expected
            assert run is None


def _check_named(world: World, found: Explanation, explained: dict[datetime, Explanation]) -> None:
    """Check that what is named as the fire time after a time is one that runs."""
    _, _, named = found.message.partition("the one after is ")
    if named:
        after = datetime.fromisoformat(named[:24])
        assert after not in explained or explained[after].expected, (found, explained[after])


HISTORIES = (
    st.sampled_from(SCHEDULES),
    st.sampled_from(["run_once", "run_all"]),
    st.sampled_from(["skip", "allow"]),
    STEPS,
)
_SHORT = settings(
    deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


# Two fire times are due, of which one becomes a misfire: it does not count for `max_runs`.
_MISFIRES = {
    "type": "any_of",
    "schedules": [
        {"type": "cron", "expression": "*/10 * * * *", "jitter": "3m"},
        {"type": "cron", "expression": "*/10 * * * *"},
    ],
    "jitter": "2m",
    "max_runs": 6,
}


@given(*HISTORIES)
@example(_MISFIRES, "run_once", "skip", ["run", "run", "run"])
@example(_MISFIRES, "run_all", "allow", ["run", "run", "run"])
@example(TEN | {"exclude": EXCLUDED}, "run_once", "skip", ["fire", "behind"])
@_SHORT
def test_the_explanation_of_each_fire_time_matches_what_happens(
    world: World, schedule: dict[str, Any], misfire: str, overlap: str, steps: list[str]
) -> None:
    _live(world, schedule, misfire, overlap, steps)


@torture(Part.HISTORIES)
@given(*HISTORIES)
@settings(_SHORT, max_examples=250)
def test_the_explanation_of_many_fire_times_matches_what_happens(
    world: World, schedule: dict[str, Any], misfire: str, overlap: str, steps: list[str]
) -> None:
    _live(world, schedule, misfire, overlap, steps)


def _live(
    world: World, schedule: dict[str, Any], misfire: str, overlap: str, steps: list[str]
) -> None:
    """Let a task have a history, and check the explanations of its fire times."""
    world.clock.set(NOON)
    world.register(
        schedule=schedule,
        misfire_policy=misfire,
        overlap_policy=overlap,
        retry={"max_attempts": 1},
    )
    try:
        for step in steps:
            _step(world, step)
        _check(world)
    finally:
        world.delete()


def _check(world: World) -> None:
    task = world.task()
    anchor = Anchor(task.anchored_at, task.name)
    known = islice(fire_times(task.definition.schedule, anchor, task.anchored_at), 200)
    until = world.now + 2 * HOUR
    times = [time.at for time in takewhile(lambda each: each.at <= until, known)]
    explained = {at: _ask(world, at) for at in times}
    for at in times:
        if at <= world.now:
            _check_past(world, at, explained[at])
    ahead = {at: found for at, found in explained.items() if at > world.now}
    beside = [_ask(world, at + MINUTE) for at in times[:5]]
    for found in beside:
        _check_named(world, found, ahead)
    _check_ahead(world, ahead)
