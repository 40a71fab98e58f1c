"""The scheduler, threads with intervals, and the watchdog."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from rota.clock import FakeClock, SystemClock
from rota.engine.timing.scheduler import Scheduler
from rota.engine.timing.wakeable_thread import WakeableThread
from rota.engine.timing.watchdog import Watchdog
from tests.support.factories import DAY, DEADLINE, HOUR, MINUTE, eventually


class Bell:
    def __init__(self) -> None:
        self.rings = 0
        self.rung = threading.Event()

    def __call__(self) -> None:
        self.rings += 1
        self.rung.set()


@pytest.fixture
def bell() -> Bell:
    return Bell()


# A century ahead of the machine's clock, so that APScheduler itself never wakes anything.
AHEAD = datetime(2126, 1, 1, tzinfo=UTC)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(AHEAD)


@pytest.fixture
def scheduler(clock: FakeClock, bell: Bell) -> Iterator[Scheduler]:
    made = Scheduler(clock, bell)
    made.start()
    yield made
    made.stop()


def _set_to(scheduler: Scheduler, at: datetime) -> bool:
    """Wait until APScheduler's job is set to a time, by a thread."""
    return bool(
        eventually(lambda: scheduler._scheduler.get_job("fire").next_run_time == at, f"not {at}")
    )


def test_the_scheduler_wakes_at_the_requested_time(bell: Bell) -> None:
    clock = SystemClock()
    scheduler = Scheduler(clock, bell)
    scheduler.start()
    asked = clock.now() + timedelta(milliseconds=200)

    scheduler.wake_at(asked)
    assert bell.rung.wait(DEADLINE)
    rang_at = clock.now()
    scheduler.stop()

    assert asked <= rang_at < asked + timedelta(seconds=5)
    assert bell.rings == 1


def test_a_time_in_the_past_wakes_at_once(scheduler: Scheduler, bell: Bell) -> None:
    scheduler.wake_at(AHEAD - MINUTE)

    assert bell.rings == 1


def test_only_an_earlier_time_replaces_the_one_that_is_set(scheduler: Scheduler) -> None:
    for asked, expected in ((10, 10), (20, 10), (5, 5), (7, 5)):
        scheduler.wake_at(AHEAD + asked * MINUTE)
        assert scheduler._set_to == AHEAD + expected * MINUTE
        assert _set_to(scheduler, AHEAD + expected * MINUTE)


def test_after_a_pass_the_next_due_time_is_set(scheduler: Scheduler) -> None:
    scheduler.wake_at(AHEAD + MINUTE)

    scheduler.pass_begins()
    scheduler.pass_ended(AHEAD + HOUR)

    assert _set_to(scheduler, AHEAD + HOUR)


@pytest.mark.parametrize("next_due", [None, AHEAD + HOUR])
def test_a_time_requested_during_a_pass_is_not_lost(
    scheduler: Scheduler, next_due: datetime | None
) -> None:
    """The pass may have read the database before the commit that requests a wake-up."""
    scheduler.wake_at(AHEAD + 2 * HOUR)
    scheduler.pass_begins()
    scheduler.wake_at(AHEAD + 5 * MINUTE)
    scheduler.wake_at(AHEAD + 7 * MINUTE)

    scheduler.pass_ended(next_due)

    assert _set_to(scheduler, AHEAD + 5 * MINUTE)


def test_a_time_requested_before_a_pass_is_forgotten_when_the_pass_begins(
    scheduler: Scheduler,
) -> None:
    scheduler.wake_at(AHEAD + MINUTE)
    scheduler.pass_begins()
    scheduler.pass_ended(None)

    scheduler.wake_at(AHEAD + HOUR)

    assert _set_to(scheduler, AHEAD + HOUR)


def test_a_time_that_passed_during_a_pass_wakes_at_its_end(
    scheduler: Scheduler, clock: FakeClock, bell: Bell
) -> None:
    scheduler.pass_begins()
    scheduler.wake_at(AHEAD + MINUTE)
    clock.advance(HOUR)

    scheduler.pass_ended(None)

    assert bell.rings == 1


def test_after_a_pass_that_failed_the_scheduler_still_wakes(
    scheduler: Scheduler, bell: Bell
) -> None:
    scheduler.wake_at(AHEAD - MINUTE)
    scheduler.pass_begins()  # it never ends

    scheduler.pass_begins()
    scheduler.wake_at(AHEAD - MINUTE)
    scheduler.pass_ended(None)

    assert bell.rings == 2


def test_many_concurrent_requests_lose_no_wake_up(bell: Bell) -> None:
    """APScheduler skips a job that is moved while it runs, possibly for years."""
    clock = SystemClock()
    scheduler = Scheduler(clock, bell)
    scheduler.start()
    pending: set[datetime] = set()
    lock = threading.Lock()

    def ask() -> None:
        for number in range(100):
            at = clock.now() + timedelta(milliseconds=number % 7)
            with lock:
                pending.add(at)
            scheduler.wake_at(at)

    def make_passes() -> None:
        while not asked.is_set() or pending:
            bell.rung.wait(0.05)
            bell.rung.clear()
            scheduler.pass_begins()
            with lock:
                now = clock.now()
                for at in [at for at in pending if at <= now]:
                    pending.remove(at)
                next_due = min(pending, default=None)
            scheduler.pass_ended(next_due)

    asked = threading.Event()
    askers = [threading.Thread(target=ask) for _ in range(4)]
    passing = threading.Thread(target=make_passes)
    for thread in (*askers, passing):
        thread.start()
    for thread in askers:
        thread.join(DEADLINE)
    asked.set()
    passing.join(DEADLINE)
    scheduler.stop()

    assert pending == set()


def test_requesting_a_wake_up_does_not_wait_for_apscheduler(
    scheduler: Scheduler, bell: Bell
) -> None:
    """The writer requests a wake-up after a commit, while APScheduler may hold its lock."""
    asked = threading.Event()

    def ask() -> None:
        scheduler.wake_at(AHEAD + MINUTE)
        scheduler.pass_begins()
        scheduler.pass_ended(AHEAD + HOUR)
        scheduler.wake_at(AHEAD - MINUTE)
        asked.set()

    with scheduler._scheduler._jobstores_lock:
        threading.Thread(target=ask, daemon=True).start()
        assert asked.wait(DEADLINE)

    assert bell.rings == 1


def test_after_a_time_that_could_not_be_set_the_next_one_is_set(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = threading.Event()

    def refuse(*_: object, **__: object) -> None:
        refused.set()
        raise RuntimeError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(scheduler._scheduler, "modify_job", refuse)
        scheduler.wake_at(AHEAD + HOUR)
        assert refused.wait(DEADLINE)

    scheduler.wake_at(AHEAD + MINUTE)

    assert _set_to(scheduler, AHEAD + MINUTE)


@pytest.mark.parametrize("years", [1, 10, 1_000])
def test_a_clock_that_was_set_far_forward_is_caught_up_in_one_step(
    scheduler: Scheduler, years: int
) -> None:
    job = scheduler._scheduler.get_job("fire")

    assert len(job._get_run_times(job.next_run_time + years * 365 * DAY)) == 1


def test_a_thread_with_an_interval_works_at_that_interval(bell: Bell) -> None:
    periodic = WakeableThread("often", bell, 0.01)
    periodic.start()

    eventually(lambda: bell.rings >= 3)
    periodic.stop()
    rings = bell.rings

    assert not periodic._thread.is_alive()
    assert bell.rings == rings


def test_a_thread_with_an_interval_can_be_woken_earlier(bell: Bell) -> None:
    periodic = WakeableThread("seldom", bell, 3_600)
    periodic.start()

    periodic.wake()
    assert bell.rung.wait(DEADLINE)
    periodic.stop()
    periodic.wake()

    assert bell.rings == 1


def test_work_that_failed_is_called_again(bell: Bell) -> None:
    def fail_first() -> None:
        bell()
        if bell.rings == 1:
            raise RuntimeError("a bug")

    periodic = WakeableThread("failing", fail_first, 0.01)
    periodic.start()

    eventually(lambda: bell.rings >= 2)
    periodic.stop()


def test_wake_ups_after_a_stop_have_no_effect(clock: FakeClock, bell: Bell) -> None:
    scheduler = Scheduler(clock, bell)
    scheduler.stop()
    scheduler.start()
    scheduler.stop()
    scheduler.stop()

    scheduler.wake_at(AHEAD + MINUTE)
    scheduler.pass_ended(AHEAD + HOUR)


class Rounds:
    """The check of a watchdog: records for how long the process stood still."""

    def __init__(self) -> None:
        self.stood_still: list[float] = []

    def __call__(self, stood_still: float) -> None:
        self.stood_still.append(stood_still)


def test_the_watchdog_checks_whatever_the_wall_clock_shows(clock: FakeClock) -> None:
    rounds = Rounds()
    watchdog = Watchdog(0.01, rounds, clock)
    watchdog.start()

    eventually(lambda: len(rounds.stood_still) >= 3)
    watchdog.stop()
    made = len(rounds.stood_still)

    assert not watchdog._thread.is_alive()
    assert len(rounds.stood_still) == made


def test_the_watchdog_reports_that_the_process_stood_still(clock: FakeClock) -> None:
    rounds = Rounds()
    watchdog = Watchdog(0.01, rounds, clock)
    watchdog.start()

    clock.advance(MINUTE)
    eventually(lambda: any(rounds.stood_still))
    watchdog.stop()

    assert [each for each in rounds.stood_still if each] == [pytest.approx(60 - 0.01)]


def test_a_watchdog_that_was_never_started_can_be_stopped(clock: FakeClock) -> None:
    rounds = Rounds()

    Watchdog(0.01, rounds, clock).stop()

    assert rounds.stood_still == []
