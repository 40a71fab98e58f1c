"""Slots, the order of queues, and claims whose answer was lost."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, cast

import pytest
from sqlalchemy import update

from rota import SyncContext, handler
from rota.db.command import Command
from rota.db.tables import run
from rota.db.writer import Writer
from rota.domain.runs.model import ClaimedRun
from rota.domain.runs.outcomes import Released
from rota.domain.runs.status import RunStatus
from rota.engine import claimer
from rota.engine.claimer import Claimer
from rota.engine.lanes import Lane
from rota.engine.leases import Lease
from rota.engine.maintenance import Maintenance
from rota.errors import Unavailable
from rota.store.completion.finish import Reap
from rota.store.runs.claiming.claim import Claim, Claimed
from rota.store.runs.claiming.starting import ClaimShortfall
from rota.store.runs.queues import PutQueue
from tests.engine.service import Service
from tests.support.factories import HANDLERS, World, finish


class Trusted:
    """A lease that is trusted or not."""

    def __init__(self, world: World) -> None:
        self.holder = world.holder
        self.trusted = True

    async def renew(self) -> float:
        return 1.0


class Doubtful:
    """A writer that loses some answers to claims, after or before the commit."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self.before: list[Exception] = []
        self.after: list[Exception] = []
        self.claims = 0
        self.silent = False
        #: Answers without a commit, and the event that the answers to commits wait for.
        self.answers: Iterator[Any] = iter(())
        self.gate: asyncio.Event | None = None

    async def run(self, command: Command[Any]) -> Any:
        if self.before:
            self.claims += isinstance(command, Claim)
            raise self.before.pop()
        answer = next(self.answers, None) or await self._writer.run(command)
        self.claims += isinstance(command, Claim)
        if self.gate is not None:
            await self.gate.wait()
        if self.after:
            raise self.after.pop()
        if self.silent:
            await asyncio.Event().wait()
        return answer


class Bench:
    """A claimer that records runs instead of beginning them."""

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
            release=self._release,
        )

    def _begin(self, runs: Sequence[ClaimedRun]) -> None:
        self.begun.extend(runs)

    def _release(self, run: ClaimedRun) -> bool:
        if run.id in {each.id for each in self.begun}:
            return False
        self.given_back.append(run)
        self.world.do(finish(run, Released(), holder=self.world.holder))
        self.claimer.free_slot(run)
        return True

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the claimer work until `condition` holds; it continues until the loop ends or `stop`."""
        self.work = self.work or asyncio.create_task(self.claimer.run())
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110  # what changes is in the database
                await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Cancel the claimer, whatever it does."""
        assert self.work
        self.work.cancel()
        await asyncio.wait([self.work])


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claimer, "_AFTER_A_FAILURE", 0.01)


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


def test_suspects_have_few_slots_and_take_none_from_the_others(waiting: World) -> None:
    suspects = waiting.claim(3, queue="a")
    waiting.end_lease(waiting.holder)
    waiting.do(Reap())
    waiting.holder = waiting.enlist()
    suspected = {run.id for run in suspects}

    async def play() -> None:
        lanes = (Lane(("noop",), 9), Lane(("noop",), per_queue=1, total=1, suspects=True))
        bench = Bench(waiting, *lanes)

        def begun(*, suspect: bool) -> int:
            return sum((run.id in suspected) is suspect for run in bench.begun)

        await bench.claimer.discover()
        await bench.until(lambda: begun(suspect=False) == 3 and begun(suspect=True) == 1)
        for number in (2, 3):
            waiting.run_now("a")
            bench.claimer.wake(["a"])
            await bench.until(lambda number=number: begun(suspect=False) == 2 + number)  # type: ignore[misc]
            assert begun(suspect=True) == number - 1
            bench.claimer.free_slot(next(run for run in bench.begun[::-1] if run.id in suspected))
            await bench.until(lambda number=number: begun(suspect=True) == number)  # type: ignore[misc]

    _play(play())


def test_a_slot_that_was_freed_is_used_again(waiting: World) -> None:
    async def play() -> None:
        bench = Bench(waiting)
        bench.claimer.wake(["a"])
        await bench.until(lambda: len(bench.begun) == 2)
        for begun in (3, 4, 5):
            bench.claimer.free_slot(bench.begun[-1])
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
    for name, called in (("light", "noop"), ("heavy", "other")):
        world.register(name, handler=called, overlap_policy="allow", schedule={"type": "manual"})
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
        await bench.until(lambda: not bench.claimer._woken.is_set())
        claims = bench.writer.claims
        bench.lease.trusted = True
        bench.claimer.wake([])
        await bench.until(lambda: _tasks(bench.begun) == "b")

        assert claims == 0

    _play(play())


def test_runs_of_an_unacknowledged_claim_are_released(waiting: World) -> None:
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


def test_runs_of_a_claim_in_progress_at_a_stop_are_released(waiting: World) -> None:
    async def play() -> None:
        bench = Bench(waiting)
        bench.writer.silent = True
        bench.claimer.wake(["b"])
        await bench.until(lambda: waiting.runs("b")[0].status is RunStatus.RUNNING)
        await bench.stop()

        await bench.claimer.release_unknown()

        assert _tasks(bench.given_back) == "b"
        assert waiting.runs("b")[0].status is RunStatus.QUEUED

    _play(play())


def test_queues_take_the_slots_of_a_shared_lane_in_turn(world: World) -> None:
    for queue in ("a", "b"):
        world.register(queue, queue=queue, overlap_policy="allow", schedule={"type": "manual"})
    for name in "aaaab":
        world.run_now(name)

    async def play() -> None:
        bench = Bench(world, Lane(("other",), 9), Lane(("noop",), per_queue=1, total=1))
        bench.claimer.wake(["a", "b"])
        await bench.until(lambda: len(bench.begun) == 1)
        bench.claimer.free_slot(bench.begun[0])
        await bench.until(lambda: len(bench.begun) == 2)

        assert _tasks(bench.begun) == "ab"

    _play(play())


@pytest.mark.parametrize("steps", range(12))
def test_claiming_can_be_cancelled_at_any_moment(world: World, steps: int) -> None:
    """`asyncio.wait_for` of Python 3.11 loses a cancellation that arrives with its result."""

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


def test_a_queue_whose_claim_was_interrupted_is_claimed_from_again(waiting: World) -> None:
    async def play() -> None:
        bench = Bench(waiting)
        bench.writer.before.append(Unavailable("no database"))
        bench.claimer.wake(["b"])
        await bench.until(lambda: _tasks(bench.begun) == "b")

    _play(play())


@pytest.mark.parametrize("failure", [Unavailable("no database"), RuntimeError("a bug")])
def test_after_a_claim_that_failed_the_next_one_comes(waiting: World, failure: Exception) -> None:
    async def play() -> None:
        bench = Bench(waiting)
        bench.writer.before.append(failure)
        bench.claimer.wake(["b"])
        await bench.until(lambda: not bench.writer.before)
        bench.claimer.wake(["b"])
        await bench.until(lambda: _tasks(bench.begun) == "b")

        assert not bench.given_back

    _play(play())


def _manual(world: World, name: str, runs: int = 0, **fields: Any) -> None:
    world.register(name, overlap_policy="allow", schedule={"type": "manual"}, **fields)
    for _ in range(runs):
        world.run_now(name)


def test_a_full_queue_is_claimed_from_again_when_one_of_its_runs_ends(world: World) -> None:
    _manual(world, "a", 3)
    world.do(PutQueue(name="default", concurrency=1, paused=False, by="me"))

    async def play() -> None:
        bench = Bench(world, Lane(("noop",), per_queue=9))
        bench.claimer.wake(["default"])
        for begun in (1, 2, 3):
            await bench.until(lambda begun=begun: len(bench.begun) == begun)  # type: ignore[misc]
            await bench.until(lambda: not bench.claimer._woken.is_set())
            claims = bench.writer.claims
            bench.claimer.free_slot(bench.begun[-1])
            await asyncio.to_thread(world.succeed, bench.begun[-1])
            bench.claimer.ended("default")

            assert claims == begun, "a full queue was claimed from in vain"

    _play(play())


def test_a_run_that_ends_during_a_claim_of_its_full_queue_is_not_missed(world: World) -> None:
    _manual(world, "a", 2)
    world.do(PutQueue(name="default", concurrency=1, paused=False, by="me"))

    async def play() -> None:
        bench = Bench(world, Lane(("noop",), per_queue=9))
        bench.claimer.wake(["default"])
        await bench.until(lambda: len(bench.begun) == 1)
        bench.writer.gate = asyncio.Event()  # the next claim is committed, and answered later
        bench.claimer.wake(["default"])
        await bench.until(lambda: bench.writer.claims == 2)
        bench.claimer.free_slot(bench.begun[-1])
        await asyncio.to_thread(world.succeed, bench.begun[0])
        bench.claimer.ended("default")
        bench.writer.gate.set()

        await bench.until(lambda: len(bench.begun) == 2)

    _play(play())


def test_a_full_queue_does_not_delay_the_others(world: World) -> None:
    _manual(world, "a", 3, queue="a")
    _manual(world, "b", 3, queue="b")
    world.do(PutQueue(name="a", concurrency=1, paused=False, by="me"))

    async def play() -> None:
        bench = Bench(world, Lane(("noop",), per_queue=9))
        bench.claimer.wake(["a", "b"])
        await bench.until(lambda: len(bench.begun) == 4)

        assert _tasks(bench.begun) == "abbb"

    _play(play())


def test_claiming_continues_past_a_backlog_of_a_full_key_without_a_wake_up(world: World) -> None:
    _manual(world, "a", 60, concurrency={"key": "k", "limit": 1}, priority=1)
    _manual(world, "b", 1)

    async def play() -> None:
        bench = Bench(world, Lane(("noop",), per_queue=2))
        bench.claimer.wake(["default"])
        await bench.until(lambda: len(bench.begun) == 2)

        assert _tasks(bench.begun) == "ab"

    _play(play())


def test_a_queue_locked_by_another_replica_is_claimed_from_shortly_afterwards(world: World) -> None:
    _manual(world, "a", 1)
    locked = iter([Claimed([], ClaimShortfall.LOCKED)])

    async def play() -> None:
        bench = Bench(world)
        bench.writer.answers = locked
        bench.claimer.wake(["default"])
        await bench.until(lambda: len(bench.begun) == 1)

        assert bench.writer.claims == 2

    _play(play())


@pytest.fixture
def stalled(world: World) -> World:
    """A world with a run that waits for its key, and was not unblocked when the run before it ended."""
    _manual(world, "a", 2, concurrency={"key": "k", "limit": 1})
    (first,) = world.claim()
    world.claim()
    with world.transaction() as tx:
        tx.connection.execute(
            update(run)
            .where(run.c.id == first.id)
            .values(status="cancelled", reason="requested", holder=None, finished_at=world.now)
        )
    assert [each.status for each in world.runs("a")] == [RunStatus.CANCELLED, RunStatus.BLOCKED]
    return world


def test_maintenance_unblocks_runs_that_wait_for_nothing(stalled: World) -> None:
    Maintenance(stalled.database, stalled.writer, stalled.clock).reap()

    assert stalled.runs("a")[1].status is RunStatus.QUEUED


def test_keys_locked_by_another_transaction_are_promoted_shortly_afterwards(stalled: World) -> None:

    async def play() -> None:
        bench = Bench(stalled)
        bench.writer.before.append(Unavailable("no database"))
        bench.claimer.promote_soon(["k"])
        await bench.until(lambda: stalled.runs("a")[1].status is RunStatus.QUEUED)

    _play(play())


def test_the_service_never_runs_more_than_a_queue_and_a_key_allow(
    serve: Callable[..., Service],
) -> None:
    """The handlers count: at most six runs of the queue at once, two of a key, and finally all of them."""
    lock, running, most = threading.Lock(), Counter[str](), Counter[str]()

    @handler("work")
    def work(ctx: SyncContext) -> None:
        names = ("queue", ctx.task)
        with lock:
            for name in names:
                running[name] += 1
                most[name] = max(most[name], running[name])
        time.sleep(0.002)
        with lock:
            running.subtract(names)

    service = serve(work)
    service.do(PutQueue(name="q", concurrency=6, paused=False, by="me"))
    for name, held in (("free", None), ("keyed", {"key": "k", "limit": 2})):
        service.register(
            name,
            handler="work",
            queue="q",
            concurrency=held,
            overlap_policy="allow",
            schedule={"type": "manual"},
        )
    made = [service.run_now(name).id for _ in range(30) for name in ("free", "keyed")]
    ended = [service.ended(id) for id in made]

    assert {(run.status, run.attempt) for run in ended} == {(RunStatus.SUCCEEDED, 1)}
    assert most["queue"] <= 6
    assert most["keyed"] <= 2
