"""Runs that write to the tables of other tasks: if those grant it, in the commit of their own success."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, select

from rota.db import tables
from rota.domain.effects import KvWritten
from rota.domain.kv.draft import KvDraft
from rota.domain.kv.entries import KvLimits
from rota.domain.kv.operations import Check, Increment
from rota.domain.kv.run_writes import Committed, KvWrites, OtherTable, TableWrites
from rota.domain.runs.errors import RunError
from rota.domain.runs.model import ClaimedRun
from rota.domain.runs.outcomes import AttemptOutcome, Conflicted, Fatal, Outcome, Succeeded
from rota.domain.runs.settlement import Settlement
from rota.domain.runs.status import RunStatus
from rota.domain.tasks.registration import read_registration
from rota.errors import NotFound
from rota.store.completion.checkpoint import Checkpoint
from rota.store.kv.entries import KvFilter, list_entries, other_table
from tests.support.factories import World, finish, set_entry, together

MANUAL: dict[str, Any] = {"schedule": {"type": "manual"}, "overlap_policy": "allow"}


class Work:
    """A run of one task that works with the tables of others."""

    def __init__(self, world: World, claimed: ClaimedRun | None = None, name: str = "t") -> None:
        self.world = world
        self.claimed = claimed or world.start(name)
        self.own = KvDraft(1_000, self.claimed.kv_revision)
        self.found: dict[str, OtherTable] = {}
        self.drafts: dict[str, KvDraft] = {}

    def of(self, name: str) -> KvDraft:
        if name not in self.drafts:
            found = self.world.read(other_table, name, self.claimed.task, self.world.now)
            self.found[name], self.drafts[name] = found, KvDraft(1_000)
            self.drafts[name].load(found.snapshot)
        return self.drafts[name]

    @property
    def work(self) -> KvWrites:
        others = tuple(
            TableWrites(table.task_id, name, self.drafts[name].changes, table.snapshot.revision)
            for name, table in self.found.items()
            if self.drafts[name].changes
        )
        return KvWrites(self.own.changes, self.own.revision or 0, others)

    @property
    def outcome(self) -> Succeeded:
        work = self.work
        return Succeeded('"done"', work.changes, work.revision, others=work.others)

    def end(self, **fields: Any) -> Settlement:
        return self.world.end(self.claimed, self.outcome, **fields)

    def commit(self) -> Committed | Outcome:
        return self.world.do(Checkpoint(run=self.claimed, holder=self.world.holder, work=self.work))


@pytest.fixture
def shop(world: World) -> World:
    """A world with the tasks `t`, `stock` (which grants `t` to write; `left`: 10) and `private`."""
    world.register("t", retry={"max_attempts": 2}, **MANUAL)
    world.register("stock", kv_grants=["t"], **MANUAL)
    world.register("private", **MANUAL)
    world.set("left", 10, "stock")
    world.effects.clear()
    return world


def row_of(world: World, name: str) -> Any:
    with world.database.read() as connection:
        return connection.execute(select(tables.task).where(tables.task.c.name == name)).one()


def test_all_tables_are_written_with_the_success(shop: World) -> None:
    work = Work(shop)
    work.of("stock").commute(Increment("left", -3))
    work.of("stock").set("by", "t")
    work.own.set("orders", 1)

    assert work.end().status is RunStatus.SUCCEEDED

    assert shop.entries("stock") == {"left": 7, "by": "t"}
    assert shop.entries("t") == {"orders": 1}
    by = f"run:{work.claimed.id}"
    found = shop.read(list_entries, "stock", KvFilter(), shop.now, limit=9)
    assert {(each.key, each.version, each.updated_by) for each in found} == {
        ("left", 2, by),
        ("by", 2, by),
    }


def test_the_other_task_s_counters_are_kept_and_nothing_else_of_it_changes(shop: World) -> None:
    before = row_of(shop, "stock")
    work = Work(shop)
    work.of("stock").set("by", "abc")

    work.end()

    after = row_of(shop, "stock")
    assert (after.kv_revision, after.kv_entries, after.kv_bytes) == (2, 2, 2 + len('"abc"'))
    same = ("last_run_id", "last_success_at", "consecutive_failures", "status", "generation")
    assert [getattr(after, each) for each in same] == [getattr(before, each) for each in same]
    assert KvWritten(before.id) in shop.effects
    assert KvWritten(work.claimed.task_id) not in shop.effects


def test_the_last_run_of_the_other_task_is_still_its_own(shop: World) -> None:
    earlier = shop.start("stock")
    shop.succeed(earlier, '"own"')
    work = Work(shop)
    work.of("stock").set("by", "t")

    work.end()

    assert row_of(shop, "stock").last_run_id == earlier.id


@pytest.mark.parametrize(("kept", "versions"), [(0, []), (20, [1])])
def test_earlier_versions_are_kept_as_the_other_task_says(
    shop: World, kept: int, versions: list[int]
) -> None:
    shop.register("stock", on_conflict="update", kv_grants=["t"], kv_history=kept, **MANUAL)
    work = Work(shop)
    work.of("stock").set("left", 9)
    work.end()

    history = tables.kv_history.c
    with shop.database.read() as connection:
        found = connection.execute(select(history.version).where(history.key == "left"))
        assert sorted(found.scalars()) == versions


def test_a_failure_leaves_the_other_table_as_it_was(shop: World) -> None:
    work = Work(shop)
    work.of("stock").set("left", 0)

    shop.end(work.claimed, Fatal(RunError("x", "broken")))

    assert shop.entries("stock") == {"left": 10}


@pytest.mark.parametrize("own_too", [False, True])
def test_a_key_of_another_table_that_was_changed_meanwhile_is_a_conflict(
    shop: World, own_too: bool
) -> None:
    work = Work(shop)
    work.of("stock").set("left", 9)
    if own_too:
        work.own.set("orders", 1)
    shop.set("left", 99, "stock")

    settled = work.end()

    assert settled.outcome is AttemptOutcome.CONFLICT
    assert settled.error is not None
    assert "'left' of task 'stock'" in settled.error.message
    assert shop.entries("stock") == {"left": 99}
    assert shop.entries("t") == {}


def test_each_table_has_its_own_revision(shop: World) -> None:
    for number in range(5):
        shop.set("x", number, "t")
    work = Work(shop)
    work.of("stock").set("left", 9)
    work.own.set("orders", 1)

    assert work.end().status is RunStatus.SUCCEEDED
    assert row_of(shop, "stock").kv_revision == 2


def test_a_conflict_in_the_own_table_keeps_the_other_as_it_was(shop: World) -> None:
    work = Work(shop)
    work.own.set("orders", 1)
    work.of("stock").set("left", 9)
    shop.set("orders", 5, "t")

    assert work.end().outcome is AttemptOutcome.CONFLICT
    assert shop.entries("stock") == {"left": 10}


def test_what_cannot_be_done_to_the_second_table_undoes_the_first(shop: World) -> None:
    """Also for those that come after it in the group."""
    first, second = Work(shop), Work(shop)
    first.own.set("a", 1)
    first.of("stock").commute(Increment("left", 1))
    second.own.set("a", 2)
    shop.set("left", "text", "stock")
    ends = [finish(each.claimed, each.outcome, holder=shop.holder) for each in (first, second)]

    one, other = (answer.result() for answer in together(shop.writer, ends))

    assert one.outcome is AttemptOutcome.CONFLICT
    assert other.status is RunStatus.SUCCEEDED
    assert shop.entries("t") == {"a": 2}


def test_a_check_of_another_table_that_does_not_hold_any_more_is_a_conflict(shop: World) -> None:
    work = Work(shop)
    work.of("stock").check(Check("left", value=b"10"))
    work.own.set("orders", 1)
    shop.set("left", 9, "stock")

    assert work.end().outcome is AttemptOutcome.CONFLICT
    assert shop.entries("t") == {}


def test_without_a_grant_the_attempt_fails_for_good(shop: World) -> None:
    work = Work(shop)
    work.of("private").set("a", 1)
    work.own.set("orders", 1)

    settled = work.end()

    assert (settled.status, settled.reason) == (RunStatus.FAILED, "fatal")
    assert settled.error is not None
    assert settled.error.type == "kv.not_granted"
    assert "'private'" in settled.error.message
    assert "'t'" in settled.error.message
    assert shop.entries("private") == shop.entries("t") == {}


def test_a_grant_that_was_taken_back_counts_no_more(shop: World) -> None:
    work = Work(shop)
    work.of("stock").set("left", 9)
    assert work.found["stock"].granted
    shop.register("stock", on_conflict="update", **MANUAL)

    assert work.end().reason == "fatal"
    assert shop.entries("stock") == {"left": 10}


def test_a_grant_is_of_the_writing_task_only(shop: World) -> None:
    work = Work(shop, name="private")

    assert work.of("stock").get("left") == 10
    assert not work.found["stock"].granted


def test_everybody_s_own_table_needs_no_grant(shop: World) -> None:
    work = Work(shop, name="private")
    work.own.set("a", 1)

    assert work.end().status is RunStatus.SUCCEEDED


def test_the_table_of_a_task_that_is_not_there_cannot_be_read(shop: World) -> None:
    shop.delete("private")
    for name in ("nobody", "private", "", "no name\x00"):
        with pytest.raises(NotFound):
            Work(shop).of(name)


def test_a_task_that_was_deleted_meanwhile_is_a_conflict_and_a_new_one_is_not_written_to(
    shop: World,
) -> None:
    work = Work(shop)
    work.of("stock").set("left", 9)
    shop.delete("stock")
    shop.register("stock", kv_grants=["t"], **MANUAL)

    assert work.end().outcome is AttemptOutcome.CONFLICT
    assert shop.entries("stock") == {}


@pytest.mark.parametrize("name", ["stock", "t"])
def test_the_limits_hold_for_every_table(shop: World, name: str) -> None:
    work = Work(shop)
    work.of("stock").set("b", 1)
    for key in ("c",) if name == "stock" else ("c", "d", "e"):
        work.own.set(key, 1)

    settled = work.end(limits=KvLimits(entries=1 if name == "stock" else 2))

    assert settled.outcome is AttemptOutcome.FAILED
    assert settled.error is not None
    assert settled.error.type == "kv.full"
    assert ("of task 'stock'" in settled.error.message) is (name == "stock")
    assert shop.entries("stock") == {"left": 10}
    assert shop.entries("t") == {}


def test_many_runs_that_count_in_a_shared_table_lose_no_increment(shop: World) -> None:
    works = [Work(shop) for _ in range(8)]
    for work in works:
        work.of("stock").commute(Increment("left", 1))
    ends = [finish(each.claimed, each.outcome, holder=shop.holder) for each in works]

    answers = [answer.result() for answer in together(shop.writer, ends)]

    assert all(answer.status is RunStatus.SUCCEEDED for answer in answers)
    assert shop.entries("stock") == {"left": 18}
    assert row_of(shop, "stock").kv_revision == 9


def test_a_run_of_the_other_task_that_ends_in_the_same_group_keeps_its_own(shop: World) -> None:
    shop.register("stock", on_conflict="update", kv_grants=["t"], **MANUAL)
    theirs = shop.start("stock")
    work = Work(shop)
    work.of("stock").set("by", "t")
    ends = [
        finish(work.claimed, work.outcome, holder=shop.holder),
        finish(theirs, Succeeded('"own"', (), theirs.kv_revision), holder=shop.holder),
    ]

    answers = [answer.result() for answer in together(shop.writer, ends)]

    assert all(answer.status is RunStatus.SUCCEEDED for answer in answers)
    row = row_of(shop, "stock")
    assert (row.last_run_id, row.kv_revision, row.kv_entries) == (theirs.id, 3, 2)
    assert row.last_success_at == shop.now
    assert shop.entries("stock") == {"left": 10, "by": "t"}


def test_a_run_that_is_refused_is_not_built_on_by_those_of_its_group(shop: World) -> None:
    refused, good = Work(shop), Work(shop)
    for work in (refused, good):
        work.of("stock").commute(Increment("left", 5))
    made = read_registration({"name": "x", "handler": "nobody", "schedule": MANUAL["schedule"]})
    outcome = replace(refused.outcome, registrations=(made,))
    ends = [
        finish(refused.claimed, outcome, holder=shop.holder),
        finish(good.claimed, good.outcome, holder=shop.holder),
    ]

    one, other = (answer.result() for answer in together(shop.writer, ends))

    assert one.error is not None
    assert one.error.type == "register.invalid"
    assert other.status is RunStatus.SUCCEEDED
    assert shop.entries("stock") == {"left": 15}


def test_a_checkpoint_writes_to_all_tables(shop: World) -> None:
    work = Work(shop)
    work.of("stock").set("left", 9)
    work.own.set("orders", 1)

    assert work.commit() == Committed(1)

    assert (shop.entries("stock"), shop.entries("t")) == ({"left": 9}, {"orders": 1})
    assert row_of(shop, "stock").kv_revision == 2
    assert {each for each in shop.effects if isinstance(each, KvWritten)} == {
        KvWritten(work.claimed.task_id),
        KvWritten(work.found["stock"].task_id),
    }


def test_a_checkpoint_to_another_table_only_returns_the_own_revision(shop: World) -> None:
    shop.set("x", 1, "t")
    work = Work(shop)
    work.of("stock").set("left", 9)

    assert work.commit() == Committed(1)


def test_a_checkpoint_without_a_grant_is_refused(shop: World) -> None:
    work = Work(shop)
    work.of("private").set("a", 1)
    work.own.set("orders", 1)

    refused = work.commit()

    assert isinstance(refused, Fatal)
    assert refused.error.type == "kv.not_granted"
    assert shop.entries("t") == {}


def test_a_checkpoint_conflicts_in_any_table(shop: World) -> None:
    work = Work(shop)
    work.of("stock").set("left", 9)
    work.own.set("orders", 1)
    shop.do(set_entry("stock", "left", b"1", timedelta(hours=1)))

    assert work.commit() == Conflicted("left", "stock")
    assert shop.entries("t") == {}


def test_a_success_without_other_tables_takes_no_more_statements_for_them(shop: World) -> None:
    executed: list[str] = []
    plain, sharing = Work(shop), Work(shop)
    plain.own.set("a", 1)
    sharing.own.set("b", 1)
    sharing.of("stock").set("new", 9)
    listen = event.listens_for(shop.database.writing, "before_cursor_execute")
    listen(lambda *args: executed.append(args[2]))

    plain.end()
    alone = len(executed)
    executed.clear()
    sharing.end()

    # The same statements, for more rows; the other task is looked up only to emit the event.
    assert len(executed) <= alone + 1


def test_the_tasks_are_locked_in_one_order(shop: World) -> None:
    """Two tasks whose runs write to each other's tables at the same time: there is no deadlock."""
    shop.register("t", on_conflict="update", kv_grants=["stock"], **MANUAL)
    one, other = Work(shop, name="t"), Work(shop, name="stock")
    one.of("stock").set("a", 1)
    one.own.set("a", 1)
    other.of("t").set("b", 1)
    other.own.set("b", 1)
    ends = [finish(each.claimed, each.outcome, holder=shop.holder) for each in (one, other)]

    answers = [answer.result() for answer in together(shop.writer, ends)]

    assert all(answer.status is RunStatus.SUCCEEDED for answer in answers)
    assert {"a": 1, "b": 1}.items() <= shop.entries("t").items()
    assert {"a": 1, "b": 1}.items() <= shop.entries("stock").items()


def test_ids_and_not_names_say_whose_table_it_is(shop: World) -> None:
    work = Work(shop)
    work.of("stock").set("left", 9)

    (table,) = work.outcome.others

    assert isinstance(table.task_id, str)
    assert table.task_id == row_of(shop, "stock").id
