"""Two replicas on one PostgreSQL: what one does while the other's transaction is still open."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import text

from rota.db import tables
from rota.db.command import Command
from rota.domain.kv.entries import KvChange
from rota.domain.runs.model import ClaimedRun, LogLine
from rota.domain.runs.outcomes import Succeeded
from rota.domain.runs.planning import plan
from rota.domain.runs.status import RunStatus
from rota.domain.tasks.definition import OnConflict, Registered, TaskStatus
from rota.errors import Conflict, LeaseLost
from rota.store.completion.finish import Reap
from rota.store.follow_ups import follow_up
from rota.store.idempotency import Once, Reply
from rota.store.runs.logs import SaveOutput
from rota.store.scheduling.due import due_tasks
from rota.store.scheduling.fire import Fire, HeldError, OvertakenError
from rota.store.tasks.lifecycle import Pause
from rota.store.tasks.registration import Register
from rota.store.tasks.retention import RemoveEnded, ended_tasks
from rota.store.tasks.run_commands import CancelRun, RunNow
from tests.support.factories import (
    BROKEN,
    DAY,
    DEADLINE,
    MINUTE,
    NOON,
    World,
    change,
    define,
    eventually,
    finish,
    set_entry,
    success,
)

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.parametrize("database_engine", ["postgresql"], indirect=True),
]


@dataclass
class Pair:
    """Two replicas; commands of `second` during a transaction of `first` wait for its end, or leave out its rows."""

    first: World
    second: World

    @contextmanager
    def after(
        self, command: Command[Any], *others: Callable[[], Any]
    ) -> Iterator[list[Future[Any]]]:
        """Yield the answers to calls that meet `command`; they are there after the block."""
        with ThreadPoolExecutor(4) as threads:
            with self.first.transaction() as tx:
                command.apply(tx)
                follow_up(tx)
                answers = [threads.submit(call) for call in others]
                eventually(
                    lambda: self._waiting() == sum(not answer.done() for answer in answers),
                    "no command waits",
                )
            yield answers
            for answer in answers:
                answer.exception(DEADLINE)

    def _waiting(self) -> int:
        blocked = text(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        with self.second.database.read() as connection:
            return int(connection.execute(blocked).scalar_one())

    def second_after(self, command: Command[Any], other: Command[Any]) -> Future[Any]:
        """Execute `command` on the first replica and, meanwhile, `other` on the second."""
        with self.after(command, lambda: self.second.do(other)) as (answer,):
            pass
        return answer


@pytest.fixture
def pair(world: World, migrated_database_url: str) -> Iterator[Pair]:
    other = World(migrated_database_url)
    yield Pair(world, other)
    other.close()


@pytest.fixture
def running(pair: Pair) -> ClaimedRun:
    """A run of the task `t` that the first replica executes."""
    pair.first.register(overlap_policy="allow")
    return pair.first.start()


def test_of_two_that_register_a_new_name_the_second_meets_the_first(pair: Pair) -> None:
    updating = Register(name="t", definition=define(priority=1), on_conflict=OnConflict.UPDATE)

    answer = pair.second_after(Register(name="t", definition=define()), updating)

    assert answer.result().outcome is Registered.UPDATED
    assert pair.first.task().generation == 2


def test_of_two_that_edit_a_task_the_second_sees_the_first_one_s_edit(pair: Pair) -> None:
    pair.first.register()
    edits = [
        Register(name="t", definition=define(priority=number), on_conflict=OnConflict.UPDATE)
        for number in (1, 2)
    ]

    answer = pair.second_after(*edits)

    assert answer.result().task.generation == 3


def test_of_two_that_use_one_idempotency_key_the_second_gets_the_first_one_s_reply(
    pair: Pair,
) -> None:
    def render(_made: Any) -> Reply:
        return Reply(201, {}, b"")

    commands = [
        Once(
            key="k",
            principal="p",
            fingerprint="f",
            command=Register(name=name, definition=define()),
            render=render,
        )
        for name in ("t", "u")
    ]

    answer = pair.second_after(*commands)

    assert answer.result() == (Reply(201, {}, b""), True)
    assert pair.first.runs("u") == []
    assert pair.first.count(tables.task) == 1


def test_of_two_that_fire_a_task_one_is_overtaken(pair: Pair) -> None:
    pair.first.register()
    pair.first.clock.advance(MINUTE)
    (due,) = pair.first.read(due_tasks, pair.first.now, 9)
    fire = Fire(due, plan(due, pair.first.now))

    answer = pair.second_after(fire, fire)

    assert isinstance(answer.exception(), OvertakenError)
    assert len(pair.first.runs()) == 1


def test_of_two_that_run_a_task_that_skips_on_overlap_one_is_refused(pair: Pair) -> None:
    pair.first.register()

    answer = pair.second_after(RunNow(task="t"), RunNow(task="t"))

    assert isinstance(answer.exception(), Conflict)
    assert len(pair.first.runs()) == 1


def test_a_task_that_is_paused_meanwhile_is_not_fired(pair: Pair) -> None:
    pair.first.register()
    pair.first.clock.advance(MINUTE)
    (due,) = pair.first.read(due_tasks, pair.first.now, 9)

    answer = pair.second_after(Pause(change()), Fire(due, plan(due, pair.first.now)))

    assert isinstance(answer.exception(), OvertakenError)
    assert pair.first.task().status is TaskStatus.PAUSED


def test_a_retry_of_a_task_that_is_paused_meanwhile_waits(pair: Pair, running: ClaimedRun) -> None:
    failing = finish(running, BROKEN, holder=pair.first.holder)

    pair.second_after(Pause(change()), failing).result()

    assert pair.first.run(running.id).waiting_on == ("paused",)


def test_of_two_that_reap_one_finds_nothing_left(pair: Pair, running: ClaimedRun) -> None:
    pair.first.end_lease(pair.first.holder)

    answer = pair.second_after(Reap(), Reap())

    assert answer.result() == 0
    assert len(pair.first.attempts(running.id)) == 1


def test_a_cancel_that_comes_before_the_reaper_is_not_forgotten(
    pair: Pair, running: ClaimedRun
) -> None:
    pair.first.end_lease(pair.first.holder)

    met = pair.second_after(CancelRun(running.id), Reap()).result()

    assert (met, pair.second.do(Reap())) == (0, 1)
    assert pair.first.run(running.id).status is RunStatus.CANCELLED


@pytest.mark.parametrize("succeeds", [True, False])
def test_a_cancel_that_comes_while_an_attempt_ends_neither_strands_the_run_nor_is_forgotten(
    pair: Pair, running: ClaimedRun, succeeds: bool
) -> None:
    outcome = success(running, cursor=1) if succeeds else BROKEN
    ending = finish(running, outcome, holder=pair.first.holder)

    settled = pair.second_after(CancelRun(running.id), ending).result()

    assert settled.status is (RunStatus.SUCCEEDED if succeeds else RunStatus.CANCELLED)
    assert pair.first.run(running.id).status is settled.status
    assert pair.first.entries() == ({"cursor": 1} if succeeds else {})


def test_an_attempt_that_is_reaped_meanwhile_writes_nothing(
    pair: Pair, running: ClaimedRun
) -> None:
    pair.first.end_lease(pair.first.holder)
    late = finish(running, success(running, cursor=1), holder=pair.first.holder)

    answer = pair.second_after(Reap(), late)

    assert isinstance(answer.exception(), LeaseLost)
    assert pair.first.entries() == {}


def test_output_of_an_attempt_that_is_being_reaped_is_not_stored(
    pair: Pair, running: ClaimedRun
) -> None:
    pair.first.end_lease(pair.first.holder)
    line = LogLine(1, NOON, "info", "hello")
    note = SaveOutput(
        run_id=running.id, attempt=1, holder=pair.first.holder, lines=(line,), progress=None
    )

    assert pair.second_after(Reap(), note).result() is False


def test_a_client_and_a_run_that_write_at_once_get_different_revisions(
    pair: Pair, running: ClaimedRun
) -> None:
    ending = finish(running, success(running, mine=1), holder=pair.first.holder)
    setting = set_entry("t", "theirs", b"1")

    made = pair.second_after(ending, setting).result()

    assert made.entries[0].version == 2
    assert pair.first.task().kv_revision == 2
    assert pair.first.entries() == {"mine": 1, "theirs": 1}


def test_a_run_does_not_overwrite_a_concurrent_write_of_a_client(
    pair: Pair, running: ClaimedRun
) -> None:
    setting = set_entry("t", "a", b'"theirs"')
    outcome = Succeeded("null", (KvChange("a", b'"mine"'),), running.kv_revision)

    settled = pair.second_after(setting, finish(running, outcome, holder=pair.first.holder))

    assert settled.result().outcome == "conflict"
    assert pair.first.entries() == {"a": "theirs"}


def test_a_fire_time_does_not_get_in_line_behind_a_run_that_is_being_cancelled(pair: Pair) -> None:
    """It would wait for ever: the cancel unblocks the runs in line before this one is inserted."""
    pair.first.register(overlap_policy="buffer")
    waiting = pair.first.run_now()
    for world in (pair.first, pair.second):
        world.clock.advance(MINUTE)
    (due,) = pair.second.read(due_tasks, pair.second.now, 10)

    met = pair.second_after(CancelRun(waiting.id), Fire(due, plan(due, pair.second.now)))
    pair.second.fire()

    assert isinstance(met.exception(), HeldError)
    assert [str(run.status) for run in pair.first.runs()] == ["cancelled", "queued"]


def test_an_ended_task_that_is_run_meanwhile_is_not_removed(pair: Pair) -> None:
    pair.first.register(schedule={"type": "once", "delay": 0}, delete_after=0)
    pair.first.fire()
    pair.first.succeed(pair.first.claim()[0])
    over, _ = pair.first.read(ended_tasks, pair.first.now, DAY, None, 9)

    answer = pair.second_after(RunNow(task="t"), RemoveEnded(tuple(over)))

    assert len(over) == 1
    assert answer.result() == 0
    assert [run.status for run in pair.first.runs()] == ["succeeded", "queued"]
