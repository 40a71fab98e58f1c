"""A key that a run writes and that was changed since its snapshot: the attempt is repeated."""

from datetime import timedelta

import pytest

from rota.domain.effects import DueSooner
from rota.domain.kv.draft import KvDraft
from rota.domain.kv.operations import Increment
from rota.domain.primitives.json import json_text
from rota.domain.reasons import CancelReason
from rota.domain.runs.model import ClaimedRun
from rota.domain.runs.outcomes import AttemptOutcome, Succeeded
from rota.domain.runs.settlement import MOST_CONFLICTS, Settlement
from rota.domain.runs.status import RunStatus
from rota.errors import Conflict
from rota.store.kv.entries import snapshot
from rota.store.kv.transactions import Transact
from rota.store.runs.claiming.claim import ReleaseDelayed
from rota.store.tasks.run_commands import CancelRun
from tests.support.factories import NOON, World, delete_entry, finish, together


class Work:
    """A run that has read its task's kv and is about to write."""

    def __init__(self, world: World, claimed: ClaimedRun | None = None) -> None:
        self.world = world
        self.claimed = claimed or world.start()
        self.draft = KvDraft(limit=1_000)
        self.draft.load(world.read(snapshot, self.claimed.task_id, world.now))

    @property
    def outcome(self) -> Succeeded:
        return Succeeded("null", self.draft.changes, self.draft.revision or 0)

    def end(self) -> Settlement:
        return self.world.end(self.claimed, self.outcome)


@pytest.fixture
def shared(world: World) -> World:
    """A world whose task `t` has the keys `a` and `b`."""
    world.register(overlap_policy="allow", retry={"max_attempts": 2})
    world.set("a", 1)
    world.set("b", 1)
    return world


def _claim_again(world: World) -> list[ClaimedRun]:
    """Claim what waits because of a conflict."""
    world.clock.advance(timedelta(seconds=1))
    world.do(ReleaseDelayed(100))
    return world.claim()


def _forget(world: World, key: str) -> None:
    world.do(delete_entry("t", key))


def test_a_key_that_was_changed_meanwhile_is_a_conflict(shared: World) -> None:
    work = Work(shared)
    work.draft.set("a", 2)
    work.draft.set("b", 2)
    shared.set("b", 99)
    shared.effects.clear()

    settled = work.end()

    run = shared.run(work.claimed.id)
    assert settled.outcome is AttemptOutcome.CONFLICT
    assert (run.status, run.failures) == (RunStatus.QUEUED, 0)
    assert run.not_before is not None
    assert NOON < run.not_before <= NOON + timedelta(seconds=1)
    assert run.error is not None
    assert "'b'" in run.error.message
    assert shared.entries() == {"a": 1, "b": 99}
    assert shared.effects == [DueSooner(run.not_before)]
    assert [each.counted for each in shared.attempts(run.id)] == [False]


def test_the_repeated_attempt_sees_the_change_and_succeeds(shared: World) -> None:
    work = Work(shared)
    work.draft.set("a", work.draft.get("a") + 1)
    shared.set("a", 41)
    work.end()

    again = Work(shared, _claim_again(shared)[0])
    again.draft.set("a", again.draft.get("a") + 1)
    again.end()

    assert shared.entries()["a"] == 42


def test_another_key_that_was_changed_is_none_of_its_business(shared: World) -> None:
    work = Work(shared)
    work.draft.set("a", 2)
    shared.set("b", 99)

    assert work.end().status is RunStatus.SUCCEEDED
    assert shared.entries() == {"a": 2, "b": 99}


def test_a_run_that_only_reads_has_no_conflicts(shared: World) -> None:
    work = Work(shared)
    work.draft.get("a")
    shared.set("a", 99)

    assert work.end().status is RunStatus.SUCCEEDED


def test_a_key_that_was_made_meanwhile_is_a_conflict(shared: World) -> None:
    work = Work(shared)
    work.draft.set("new", "mine")
    shared.set("new", "theirs")

    assert work.end().outcome is AttemptOutcome.CONFLICT
    assert shared.entries()["new"] == "theirs"


@pytest.mark.parametrize("deletes", [False, True])
def test_a_key_that_was_deleted_meanwhile_is_a_conflict(shared: World, deletes: bool) -> None:
    work = Work(shared)
    work.draft.delete("a") if deletes else work.draft.set("a", 2)
    _forget(shared, "a")

    assert work.end().outcome is AttemptOutcome.CONFLICT
    assert shared.entries() == {"b": 1}


def test_deleting_a_key_that_was_changed_meanwhile_is_a_conflict(shared: World) -> None:
    work = Work(shared)
    work.draft.delete("a")
    shared.set("a", 99)

    assert work.end().outcome is AttemptOutcome.CONFLICT
    assert shared.entries()["a"] == 99


def test_deleting_a_key_that_was_never_there_is_no_conflict(shared: World) -> None:
    work = Work(shared)
    work.draft.delete("never")

    assert work.end().status is RunStatus.SUCCEEDED


def test_a_write_without_a_look_conflicts_with_changes_since_the_start(shared: World) -> None:
    first, second = shared.start(), shared.start()
    draft = KvDraft(limit=1_000)
    draft.set("a", 2)
    assert draft.revision is None

    shared.end(first, Succeeded("null", draft.changes, first.kv_revision))
    late = shared.end(second, Succeeded("null", draft.changes, second.kv_revision))

    assert late.outcome is AttemptOutcome.CONFLICT


def _end_together(world: World, first: Work, second: Work) -> list[Settlement]:
    ends = [finish(each.claimed, each.outcome, holder=world.holder) for each in (first, second)]
    return [answer.result() for answer in together(world.writer, ends)]


def test_of_two_that_write_one_key_in_one_group_the_second_is_repeated(shared: World) -> None:
    first, second = Work(shared), Work(shared)
    for work in (first, second):
        work.draft.set("a", work.draft.get("a") + 1)

    one, other = _end_together(shared, first, second)

    assert one.status is RunStatus.SUCCEEDED
    assert other.outcome is AttemptOutcome.CONFLICT
    assert shared.entries()["a"] == 2
    assert shared.run(second.claimed.id).status is RunStatus.QUEUED


def test_two_that_write_different_keys_in_one_group_both_succeed(shared: World) -> None:
    first, second = Work(shared), Work(shared)
    first.draft.set("a", "first")
    second.draft.set("b", "second")

    settled = _end_together(shared, first, second)

    assert [each.status for each in settled] == [RunStatus.SUCCEEDED] * 2
    assert shared.entries() == {"a": "first", "b": "second"}
    assert shared.task().kv_revision == 4


def test_a_key_that_an_earlier_end_of_the_group_deleted_is_a_conflict(shared: World) -> None:
    first, second = Work(shared), Work(shared)
    first.draft.delete("a")
    second.draft.set("a", 2)

    one, other = _end_together(shared, first, second)

    assert one.status is RunStatus.SUCCEEDED
    assert other.outcome is AttemptOutcome.CONFLICT
    assert shared.entries() == {"b": 1}


def test_a_key_that_an_earlier_end_of_the_group_made_cannot_be_made_again(shared: World) -> None:
    first, second = Work(shared), Work(shared)
    first.draft.set("new", 1)
    second.draft.set("new", 2)

    one, other = _end_together(shared, first, second)

    assert (one.status, other.outcome) == (RunStatus.SUCCEEDED, AttemptOutcome.CONFLICT)
    assert shared.entries()["new"] == 1


def test_writes_of_a_refused_run_block_no_other_run(shared: World) -> None:
    first, second = Work(shared), Work(shared)
    for work in (first, second):
        work.draft.set("a", work.claimed.attempt)
        work.draft.set("new", 1)
    first.draft.commute(Increment("b", 1))
    shared.set("b", "no number any more")

    one, other = _end_together(shared, first, second)

    assert (one.outcome, other.status) == (AttemptOutcome.CONFLICT, RunStatus.SUCCEEDED)
    assert shared.entries() == {"a": 1, "b": "no number any more", "new": 1}
    assert shared.task().kv_revision == 4


def test_a_run_with_endless_conflicts_uses_its_attempts_up_in_the_end(shared: World) -> None:
    claimed = shared.start()
    for _ in range(MOST_CONFLICTS):
        assert _lose(shared, claimed).outcome is AttemptOutcome.CONFLICT
        (claimed,) = _claim_again(shared)

    settled = _lose(shared, claimed)

    assert (settled.outcome, settled.counted) == (AttemptOutcome.FAILED, True)
    assert shared.run(claimed.id).failures == 1


def _lose(world: World, claimed: ClaimedRun) -> Settlement:
    work = Work(world, claimed)
    work.draft.set("a", "mine")
    world.set("a", "theirs")
    return work.end()


def test_a_conflict_of_a_run_that_is_to_be_cancelled_ends_it(shared: World) -> None:
    work = Work(shared)
    work.draft.set("a", 2)
    shared.set("a", 99)
    shared.do(CancelRun(work.claimed.id))

    settled = work.end()

    assert (settled.status, settled.reason) == (RunStatus.CANCELLED, CancelReason.REQUESTED)
    assert shared.entries()["a"] == 99
    assert shared.run(work.claimed.id).finished_at == NOON


def test_many_runs_that_count_together_lose_no_increment(shared: World) -> None:
    """Runs that read, add and write in groups of eight; those with a conflict are repeated."""
    shared.set("n", 0)
    works = [Work(shared) for _ in range(8)]
    while works:
        for work in works:
            work.draft.set("n", work.draft.get("n") + 1)
        ends = [finish(work.claimed, work.outcome, holder=shared.holder) for work in works]
        settled = [answer.result() for answer in together(shared.writer, ends)]
        assert [each.status for each in settled].count(RunStatus.SUCCEEDED) == 1
        works = [Work(shared, claimed) for claimed in _claim_again(shared)]

    assert shared.entries()["n"] == 8
    assert json_text.dumps(shared.entries()["n"]) == "8"


def test_a_number_that_no_float_can_be_added_to_is_a_conflict_and_no_crash(shared: World) -> None:
    work = Work(shared)
    work.draft.commute(Increment("a", 0.5))
    shared.set("a", 2**1024 - 1)

    assert work.end().outcome is AttemptOutcome.CONFLICT
    assert shared.entries() == {"a": 2**1024 - 1, "b": 1}
    operations = (Increment("a", 0.5),)
    with pytest.raises(Conflict, match="the sum is too large"):
        shared.do(Transact(task="t", operations=operations, by="me"))
