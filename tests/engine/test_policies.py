"""Every overlap policy with every misfire policy, with and without retries, through firing passes of the engine."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from rota.domain.policies import MisfirePolicy, OverlapPolicy
from rota.domain.runs.model import ClaimedRun, Run
from rota.domain.runs.outcomes import Cancelled
from rota.domain.runs.status import RunStatus
from rota.engine.firing import Firing
from rota.metrics import Metrics
from tests.support.factories import BROKEN, MINUTE, NOON, World

TEN_MINUTES = timedelta(minutes=10)
SKIPPED_TWO = (20, 2, "skipped", "misfire")
SKIPPED_THREE = (20, 3, "skipped", "misfire")
#: The results of the fire times at 20, 30 and 40 minutes past, which were missed while the run of 10 past was running.
EXPECTED: dict[tuple[str, str], list[tuple[int, int, str, str | None]]] = {
    ("skip", "run_once"): [SKIPPED_TWO, (40, 1, "skipped", "overlap")],
    ("skip", "run_all"): [(at, 1, "succeeded", None) for at in (20, 30, 40)],
    ("skip", "skip"): [SKIPPED_THREE],
    ("buffer", "run_once"): [SKIPPED_TWO, (40, 1, "succeeded", None)],
    ("buffer", "run_all"): [(at, 1, "succeeded", None) for at in (20, 30, 40)],
    ("buffer", "skip"): [SKIPPED_THREE],
    ("allow", "run_once"): [SKIPPED_TWO, (40, 1, "succeeded", None)],
    ("allow", "run_all"): [(at, 1, "succeeded", None) for at in (20, 30, 40)],
    ("allow", "skip"): [SKIPPED_THREE],
    ("replace", "run_once"): [SKIPPED_TWO, (40, 1, "succeeded", None)],
    ("replace", "run_all"): [
        (20, 1, "cancelled", "replaced"),
        (30, 1, "cancelled", "replaced"),
        (40, 1, "succeeded", None),
    ],
    ("replace", "skip"): [SKIPPED_THREE],
}


class Shift:
    """Works as the engine does, step by step, on a fake clock."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.firing = Firing(world.database, world.writer, world.clock, Metrics())
        #: (minute past the hour, start and end in seconds after noon) of each attempt.
        self.spans: list[tuple[int, datetime, datetime | None]] = []

    def begin(self) -> list[ClaimedRun]:
        """Fire what is due and claim what can be claimed."""
        self.firing.make_pass()
        return self.world.claim()

    def work(self) -> Iterator[ClaimedRun]:
        """Execute everything, one attempt a second, waiting for retries."""
        while unfinished := [run for run in self.world.runs() if not run.status.final]:
            started = self.begin()
            yield from started
            if not started:
                assert any(run.not_before for run in unfinished), "nothing can run"
            self.world.clock.advance(timedelta(seconds=1))


def _shown(run: Run) -> tuple[int, int, str, str | None]:
    return (run.scheduled_for.minute, run.count, str(run.status), run.reason)


@pytest.mark.parametrize("attempts", [1, 2])
@pytest.mark.parametrize("misfire", MisfirePolicy)
@pytest.mark.parametrize("overlap", OverlapPolicy)
def test_every_pair_of_policies(
    world: World, overlap: OverlapPolicy, misfire: MisfirePolicy, attempts: int
) -> None:
    world.register(
        schedule={"type": "interval", "every": "10m", "end_at": (NOON + 45 * MINUTE).isoformat()},
        overlap_policy=overlap,
        misfire_policy=misfire,
        retry={"max_attempts": attempts, "jitter": False},
    )
    shift = Shift(world)
    world.clock.advance(TEN_MINUTES)
    (first,) = shift.begin()

    world.clock.advance(35 * MINUTE)  # nothing was fired, and the run is still running
    beside = shift.begin()
    asked = world.run(first.id).cancel_requested_at is not None
    world.end(first, Cancelled() if asked else BROKEN)
    for claimed in beside:
        world.succeed(claimed)
    order = [claimed.scheduled_for for claimed in _carry_out(shift)]

    expected = EXPECTED[overlap, misfire]
    replaced = overlap == "replace" and misfire != "skip"
    first_row = (10, 1, "failed", "error") if attempts == 1 else (10, 1, "succeeded", None)
    assert [_shown(run) for run in world.runs()] == [
        (10, 1, "cancelled", "replaced") if replaced else first_row,
        *expected,
    ]
    assert asked == replaced
    ran_beside = overlap == "allow" and misfire != "skip"
    assert bool(beside) == ran_beside, "only `allow` runs beside another run"
    assert order == sorted(order), "waiting runs are executed in order"


def _carry_out(shift: Shift) -> Iterator[ClaimedRun]:
    for claimed in shift.work():
        alone = [run for run in shift.world.runs() if run.status is RunStatus.RUNNING]
        assert [run.id for run in alone] == [claimed.id], "one at a time"
        yield claimed
        shift.world.succeed(claimed)
