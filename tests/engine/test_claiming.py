"""Slots, turns, and claims whose answer was lost."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, cast

import pytest

from app.db.writer import Command, Writer
from app.domain.runs import ClaimedRun, Released, RunStatus
from app.engine import claiming
from app.engine.claiming import Claimer, Lane
from app.engine.leases import Lease
from app.errors import Unavailable
from app.store.claiming import Claim
from tests.factories import HANDLERS, World, finish


class Trusted:
    """A lease that lasts, or does not."""

    def __init__(self, world: World) -> None:
        self.holder = world.holder
        self.trusted = True

    async def renew(self) -> float:
        return 1.0


class Doubtful:
    """A writer of which some answers to claims are lost, after or before the commit."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self.before: list[Exception] = []
        self.after: list[Exception] = []
        self.claims = 0
        self.silent = False

    async def run(self, command: Command[Any]) -> Any:
        self.claims += isinstance(command, Claim)
        if self.before:
            raise self.before.pop()
        answer = await self._writer.run(command)
        if self.after:
            raise self.after.pop()
        if self.silent:
            await asyncio.Event().wait()
        return answer


class Bench:
    """A claimer whose runs are begun by noting them."""

    def __init__(self, world: World, *lanes: Lane) -> None:
        self.world = world
        self.work: asyncio.Task[None] | None = None
        self.begun: list[ClaimedRun] = []
        self.given_back: list[ClaimedRun] = []
        self.writer = Doubtful(world.writer)
        self.lease = Trusted(world)
        self.claimer = Claimer(
            world.database,
            cast("Writer", self.writer),
            cast("Lease", self.lease),
            lanes or [Lane(HANDLERS, per_queue=2)],
            begin=self._begin,
            give_back=self._give_back,
        )

    def _begin(self, runs: Sequence[ClaimedRun]) -> None:
        self.begun.extend(runs)

    def _give_back(self, run: ClaimedRun) -> bool:
        if run.id in {each.id for each in self.begun}:
            return False
        self.given_back.append(run)
        self.world.do(finish(run, Released(), holder=self.world.holder))
        self.claimer.release(run.handler, run.queue)
        return True

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the claimer work until something is so; it goes on until the loop ends or `stop`."""
        self.work = self.work or asyncio.create_task(self.claimer.run())
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110  # what changes is in the database
                await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Cut the claimer off, whatever it does."""
        assert self.work
        self.work.cancel()
        await asyncio.wait([self.work])


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claiming, "_AFTER_A_FAILURE", 0.01)


@pytest.fixture
def waiting(world: World) -> World:
    """A world with five runs in the queue `a` and one in `b`."""
    for queue in ("a", "b"):
        world.register(queue, queue=queue, overlap_policy="allow", schedule={"type": "manual"})
    for name in "aaaaab":
        world.run_now(name)
    return world


def _play(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def _tasks(runs: Sequence[ClaimedRun]) -> str:
    return "".join(run.task for run in runs)


def test_each_queue_has_its_own_slots(waiting: World) -> None:
    async def play() -> None:
        bench = Bench(waiting)
        bench.claimer.wake(["a", "b"])
        await bench.until(lambda: len(bench.begun) == 3)

        assert sorted(_tasks(bench.begun)) == ["a", "a", "b"]

    _play(play())


def test_a_slot_that_is_given_back_is_used_again(waiting: World) -> None:
    async def play() -> None:
        bench = Bench(waiting)
        bench.claimer.wake(["a"])
        await bench.until(lambda: len(bench.begun) == 2)
        for begun in (3, 4, 5):
            bench.claimer.release("noop", "a")
            await bench.until(lambda begun=begun: len(bench.begun) == begun)  # type: ignore[misc]

        assert _tasks(bench.begun) == "aaaaa"

    _play(play())


def test_queues_are_discovered(waiting: World) -> None:
    async def play() -> None:
        bench = Bench(waiting)
        await bench.claimer.discover()
        await bench.until(lambda: len(bench.begun) == 3)

    _play(play())


def test_lanes_share_a_queue_but_not_their_slots(world: World) -> None:
    for name, handler in (("light", "noop"), ("heavy", "other")):
        world.register(name, handler=handler, overlap_policy="allow", schedule={"type": "manual"})
        for _ in range(4):
            world.run_now(name)

    async def play() -> None:
        bench = Bench(
            world, Lane(("noop",), per_queue=3), Lane(("other",), per_queue=1, total=1), Lane((), 9)
        )
        bench.claimer.wake(["default"])
        await bench.until(lambda: len(bench.begun) == 4)

        assert sorted(run.task for run in bench.begun) == ["heavy", "light", "light", "light"]

    _play(play())


def test_a_lane_with_a_total_has_it_for_all_queues() -> None:
    lane = Lane(("h",), per_queue=2, total=3)
    lane.taken.update({"a": 1, "b": 1})

    assert (lane.free("a"), lane.free("c")) == (1, 1)
    lane.release("a")
    assert (lane.free("a"), lane.free("c")) == (2, 2)
    assert dict(lane.taken) == {"b": 1}


def test_without_a_trusted_lease_nothing_is_claimed(waiting: World) -> None:
    async def play() -> None:
        bench = Bench(waiting)
        bench.lease.trusted = False
        bench.claimer.wake(["b"])
        await bench.until(lambda: not bench.claimer._bell.is_set())
        claims = bench.writer.claims
        bench.lease.trusted = True
        bench.claimer.wake([])
        await bench.until(lambda: _tasks(bench.begun) == "b")

        assert claims == 0

    _play(play())


def test_what_was_claimed_without_our_knowing_is_given_back(waiting: World) -> None:
    async def play() -> None:
        bench = Bench(waiting)
        bench.claimer.wake(["b"])
        await bench.until(lambda: len(bench.begun) == 1)
        bench.writer.after.append(Unavailable("the answer was lost"))

        bench.claimer.wake(["a"])
        await bench.until(lambda: len(bench.begun) == 3)

        assert _tasks(bench.given_back) == "aa"
        assert _tasks(bench.begun) == "baa"
        assert {run.attempt for run in bench.begun if run.task == "a"} == {2}
        running = [waiting.run(run.id).status for run in bench.begun]
        assert running == [RunStatus.RUNNING] * 3

    _play(play())


def test_a_claim_that_is_under_way_at_a_stop_is_given_back(waiting: World) -> None:
    async def play() -> None:
        bench = Bench(waiting)
        bench.writer.silent = True
        bench.claimer.wake(["b"])
        await bench.until(lambda: waiting.runs("b")[0].status is RunStatus.RUNNING)
        await bench.stop()

        await bench.claimer.settle()

        assert _tasks(bench.given_back) == "b"
        assert waiting.runs("b")[0].status is RunStatus.QUEUED

    _play(play())


def test_the_slots_of_a_shared_lane_go_from_queue_to_queue(world: World) -> None:
    for queue in ("a", "b"):
        world.register(queue, queue=queue, overlap_policy="allow", schedule={"type": "manual"})
    for name in "aaaab":
        world.run_now(name)

    async def play() -> None:
        bench = Bench(world, Lane(("other",), 9), Lane(("noop",), per_queue=1, total=1))
        bench.claimer.wake(["a", "b"])
        await bench.until(lambda: len(bench.begun) == 1)
        bench.claimer.release("noop", "a")
        await bench.until(lambda: len(bench.begun) == 2)

        assert _tasks(bench.begun) == "ab"

    _play(play())


@pytest.mark.parametrize("steps", range(12))
def test_a_stop_is_heard_at_any_moment(world: World, steps: int) -> None:
    """`asyncio.wait_for` of Python 3.11 forgets a cancellation that comes with what it waits for."""

    async def play() -> None:
        bench = Bench(world)
        bench.lease.trusted = False
        bench.claimer.wake(["a"])
        bench.claimer._backlog = True
        bench.claimer._plenty.set()
        work = asyncio.create_task(bench.claimer.run())
        for _ in range(steps):
            await asyncio.sleep(0)
        work.cancel()

        done, _ = await asyncio.wait([work], timeout=5)
        assert done

    _play(play())


def test_a_queue_whose_claim_was_cut_off_is_looked_into_again(waiting: World) -> None:
    async def play() -> None:
        bench = Bench(waiting)
        bench.writer.before.append(Unavailable("no database"))
        bench.claimer.wake(["b"])
        await bench.until(lambda: _tasks(bench.begun) == "b")

    _play(play())


@pytest.mark.parametrize("failure", [Unavailable("no database"), RuntimeError("a bug")])
def test_a_claim_that_failed_is_not_the_last(waiting: World, failure: Exception) -> None:
    async def play() -> None:
        bench = Bench(waiting)
        bench.writer.before.append(failure)
        bench.claimer.wake(["b"])
        await bench.until(lambda: not bench.writer.before)
        bench.claimer.wake(["b"])
        await bench.until(lambda: _tasks(bench.begun) == "b")

        assert not bench.given_back

    _play(play())
