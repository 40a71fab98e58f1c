"""Checkpoints: entries of a run are committed while it continues, only by the attempt that holds it."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import delete, event, select

from rota.db import tables
from rota.domain.effects import KvWritten
from rota.domain.kv.draft import KvDraft
from rota.domain.kv.entries import KvLimits
from rota.domain.kv.operations import Append, Check, Increment, Max
from rota.domain.kv.run_writes import Committed, KvWrites
from rota.domain.primitives.json import json_text
from rota.domain.runs.errors import RunError
from rota.domain.runs.model import ClaimedRun
from rota.domain.runs.outcomes import (
    Cancelled,
    CheckpointResult,
    Conflicted,
    Failed,
    Succeeded,
    TimedOut,
)
from rota.domain.runs.status import RunStatus
from rota.errors import LeaseLost
from rota.store.completion.checkpoint import Checkpoint
from rota.store.completion.finish import Reap
from rota.store.kv.entries import KvFilter, list_entries, snapshot
from rota.store.runs.claiming.claim import ReleaseDelayed
from rota.store.tasks.run_commands import CancelRun
from tests.support.factories import World, delete_entry, together


class Work:
    """An attempt that has read its task's table, writes to it, and makes checkpoints."""

    def __init__(self, world: World, claimed: ClaimedRun | None = None) -> None:
        self.world = world
        self.claimed = claimed or world.start()
        self.draft = KvDraft(1_000, self.claimed.kv_revision)
        self.look()

    def look(self) -> None:
        self.draft.load(self.world.read(snapshot, self.claimed.task_id, self.world.now))

    def point(self, **fields: Any) -> Checkpoint:
        work = KvWrites(self.draft.changes, self.draft.revision or 0)
        own: dict[str, Any] = {"run": self.claimed, "holder": self.world.holder}
        return Checkpoint(work=work, **own | fields)

    def commit(self, **fields: Any) -> CheckpointResult:
        answer = self.world.do(self.point(**fields))
        if isinstance(answer, Committed):
            self.draft.begin_anew(answer.revision)
        return answer

    def end(self) -> Any:
        changes = self.draft.changes
        return self.world.end(self.claimed, Succeeded("null", changes, self.draft.revision or 0))


@pytest.fixture
def shared(world: World) -> World:
    """A world whose task `t` has the keys `a` (1) and `n` (1)."""
    world.register(overlap_policy="allow", retry={"max_attempts": 2})
    world.set("a", 1)
    world.set("n", 1)
    world.effects.clear()
    return world


def counted(world: World) -> tuple[int, int]:
    with world.database.read() as connection:
        row = connection.execute(select(tables.task.c.kv_entries, tables.task.c.kv_bytes)).one()
        return row.kv_entries, row.kv_bytes


def test_entries_of_a_checkpoint_are_visible_while_the_run_continues(shared: World) -> None:
    work = Work(shared)
    work.draft.set("a", "done")
    work.draft.set("new", [1])
    work.draft.commute(Increment("n", 4))

    assert work.commit() == Committed(3)

    assert shared.entries() == {"a": "done", "n": 5, "new": [1]}
    assert shared.run(work.claimed.id).status is RunStatus.RUNNING
    assert shared.task().kv_revision == 3
    assert counted(shared) == (3, len('"done"') + len("5") + len("[1]"))
    assert shared.effects[-1] == KvWritten(shared.task().id)
    entries = shared.read(list_entries, "t", KvFilter(), shared.now, limit=9)
    by = f"run:{work.claimed.id}"
    assert {(entry.key, entry.version, entry.updated_by) for entry in entries} == {
        (key, 3, by) for key in ("a", "n", "new")
    }


def test_a_later_failure_keeps_only_the_entries_of_checkpoints(
    shared: World,
) -> None:
    work = Work(shared)
    work.draft.set("a", "kept")
    work.commit()
    work.draft.set("a", "lost")

    shared.end(work.claimed, Failed(RunError("x", "broken")))

    assert shared.entries() == {"a": "kept", "n": 1}


def test_the_end_commits_only_entries_written_after_the_checkpoint(shared: World) -> None:
    work = Work(shared)
    work.draft.set("a", 2)
    work.commit()
    shared.set("a", "theirs")
    work.look()
    work.draft.set("b", work.draft.get("a"))

    assert work.end().status is RunStatus.SUCCEEDED

    assert shared.entries() == {"a": "theirs", "b": "theirs", "n": 1}


def test_the_snapshot_afterwards_has_own_writes_and_those_of_others(shared: World) -> None:
    work = Work(shared)
    work.draft.set("a", 2)
    shared.set("n", 7)
    assert work.draft.get("n") == 1

    work.commit()
    work.look()

    assert (work.draft.get("a"), work.draft.get("n")) == (2, 7)
    work.draft.set("n", 8)
    assert work.end().status is RunStatus.SUCCEEDED


def test_a_blind_write_afterwards_conflicts_with_changes_since_the_checkpoint(
    shared: World,
) -> None:
    work = Work(shared)
    shared.set("a", "before")
    work.draft.set("b", 1)
    work.commit()
    work.draft.set("a", "mine")
    calm = work.point()
    shared.set("a", "after")

    assert calm.work.revision == 4
    assert work.commit() == Conflicted("a")


def test_a_conflict_writes_nothing(shared: World) -> None:
    work = Work(shared)
    work.draft.set("b", 2)
    work.draft.set("a", 2)
    shared.set("a", 99)
    shared.effects.clear()

    assert work.commit() == Conflicted("a")

    assert shared.entries() == {"a": 99, "n": 1}
    assert shared.effects == []
    settled = shared.end(work.claimed, Conflicted("a"))
    assert (settled.status, settled.counted) == (RunStatus.QUEUED, False)


def test_a_key_that_was_deleted_meanwhile_is_a_conflict(shared: World) -> None:
    work = Work(shared)
    work.draft.set("a", 2)
    shared.do(delete_entry("t", "a"))

    assert work.commit() == Conflicted("a")


def test_commuting_operations_meet_no_conflict(shared: World) -> None:
    work = Work(shared)
    work.draft.commute(Increment("n", 1))
    work.draft.commute(Append("log", b'"x"'))
    work.draft.commute(Max("high", b"3"))
    shared.set("n", 10)
    shared.set("high", 7)

    assert isinstance(work.commit(), Committed)

    assert shared.entries() == {"a": 1, "n": 11, "log": ["x"], "high": 7}


def test_an_entry_that_a_commuting_operation_can_no_longer_change_is_a_conflict(
    shared: World,
) -> None:
    work = Work(shared)
    work.draft.commute(Increment("n", 1))
    shared.set("n", "text")

    assert work.commit() == Conflicted("n")


def test_a_check_that_does_not_hold_any_more_is_a_conflict(shared: World) -> None:
    work = Work(shared)
    work.draft.check(Check("a", value=b"1"))
    work.draft.set("b", 1)
    shared.set("a", 2)

    assert work.commit() == Conflicted("a")
    assert shared.entries() == {"a": 2, "n": 1}


def test_a_check_that_holds_writes_nothing_itself(shared: World) -> None:
    work = Work(shared)
    work.draft.check(Check("a", version=1))
    work.draft.check(Check("gone"))
    work.draft.set("b", 1)

    assert work.commit() == Committed(3)

    found = shared.read(list_entries, "t", KvFilter(), shared.now, limit=9)
    assert {entry.key: entry.version for entry in found} == {"a": 1, "n": 2, "b": 3}


def test_only_checks_make_no_revision(shared: World) -> None:
    work = Work(shared)
    work.draft.check(Check("a", version=1))

    assert work.commit() == Committed(2)
    assert shared.task().kv_revision == 2


def test_a_table_that_is_full_takes_nothing(shared: World) -> None:
    work = Work(shared)
    work.draft.set("b", 1)

    refused = work.commit(limits=KvLimits(entries=2))

    assert isinstance(refused, Failed)
    assert refused.error.type == "kv.full"
    assert shared.entries() == {"a": 1, "n": 1}


def _ended(world: World, work: Work) -> None:
    world.end(work.claimed, TimedOut(RunError("timeout", "too long")))


def _started_again(world: World, work: Work) -> None:
    _ended(world, work)
    world.clock.advance(world.task().definition.retry.max_interval)
    world.do(ReleaseDelayed(10))
    assert world.claim()[0].attempt == 2


def _given_back(world: World, work: Work) -> None:
    world.end_lease(world.holder)
    assert world.do(Reap()) == 1


def _deleted(world: World, work: Work) -> None:
    with world.transaction() as tx:
        tx.connection.execute(delete(tables.run).where(tables.run.c.id == work.claimed.id))


@pytest.mark.parametrize("lose", [_ended, _started_again, _given_back, _deleted])
def test_an_attempt_that_has_lost_its_run_writes_nothing(shared: World, lose: Any) -> None:
    work = Work(shared)
    work.draft.set("a", 2)
    lose(shared, work)

    with pytest.raises(LeaseLost):
        work.commit()

    assert shared.entries() == {"a": 1, "n": 1}


def test_a_process_that_does_not_hold_the_run_writes_nothing(shared: World) -> None:
    work = Work(shared)
    work.draft.set("a", 2)

    with pytest.raises(LeaseLost):
        work.commit(holder=shared.enlist())

    assert shared.entries() == {"a": 1, "n": 1}


def test_a_run_that_is_to_be_cancelled_writes_nothing(shared: World) -> None:
    work = Work(shared)
    work.draft.set("a", 2)
    shared.do(CancelRun(work.claimed.id))

    assert work.commit() == Cancelled()
    assert shared.entries() == {"a": 1, "n": 1}


def test_one_that_is_lost_does_not_harm_those_of_its_group(shared: World) -> None:
    good, bad = Work(shared), Work(shared)
    good.draft.set("b", "good")
    bad.draft.set("c", "bad")
    lost = bad.point(run=replace(bad.claimed, attempt=9))

    one, other = together(shared.writer, [good.point(), lost])

    assert isinstance(one.result(), Committed)
    with pytest.raises(LeaseLost):
        other.result()
    assert shared.entries() == {"a": 1, "n": 1, "b": "good"}


def test_of_two_in_one_group_that_write_one_key_the_second_conflicts(shared: World) -> None:
    first, second = Work(shared), Work(shared)
    first.draft.set("a", "first")
    second.draft.set("a", "second")

    one, other = together(shared.writer, [first.point(), second.point()])

    assert (one.result(), other.result()) == (Committed(3), Conflicted("a"))
    assert shared.entries()["a"] == "first"


def test_one_that_is_too_full_is_not_built_on_by_those_of_its_group(shared: World) -> None:
    full, good = Work(shared), Work(shared)
    full.draft.commute(Increment("n", 100))
    full.draft.set("b", "too much")
    good.draft.commute(Increment("n", 1))
    limits = KvLimits(entries=2)

    one, other = together(shared.writer, [full.point(limits=limits), good.point(limits=limits)])

    assert isinstance(one.result(), Failed)
    assert other.result() == Committed(3)
    assert shared.entries() == {"a": 1, "n": 2}


def test_those_of_a_group_share_the_room_that_is_left(shared: World) -> None:
    first, second = Work(shared), Work(shared)
    first.draft.set("b", 1)
    second.draft.set("c", 1)
    limits = KvLimits(entries=3)

    answers = together(shared.writer, [each.point(limits=limits) for each in (first, second)])

    assert [type(answer.result()) for answer in answers] == [Committed, Failed]
    assert shared.entries() == {"a": 1, "n": 1, "b": 1}


def test_checkpoints_of_a_group_take_no_more_statements_than_one(shared: World) -> None:
    works = [Work(shared) for _ in range(8)]
    for number, work in enumerate(works):
        work.draft.set(f"k{number}", number)
    executed: list[str] = []
    listen = event.listens_for(shared.database.writing, "before_cursor_execute")
    listen(lambda *args: executed.append(args[2]))

    shared.do(works[0].point())
    alone = len(executed)
    executed.clear()
    together(shared.writer, [work.point() for work in works[1:]])

    assert len(executed) <= alone + 1
    assert json_text.dumps(sorted(shared.entries())).count("k") == 8
