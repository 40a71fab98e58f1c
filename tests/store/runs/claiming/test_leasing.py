"""Leases: workers outside take runs of declared handlers, each with a token, under the limits of a claim."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from rota.db import tables
from rota.domain.access.names import UNLIMITED, NameLimit
from rota.domain.effects import DueSooner
from rota.domain.primitives.ids import Id
from rota.domain.primitives.texts.sealed import PREFIX
from rota.domain.runs.status import RunStatus
from rota.store.completion.expiry import ExpireLeases
from rota.store.completion.finish import Reap
from rota.store.declared_handlers import DeclareHandler
from rota.store.handlers import Announce, HandlerInfo
from rota.store.replicas import OUTSIDE
from rota.store.runs.claiming import leasing
from rota.store.runs.claiming.claim_statements import Suspects, candidates
from rota.store.runs.claiming.leasing import Lease, Leased, can_be_leased
from rota.store.runs.claiming.tokens import find_grant, hash_of
from rota.store.runs.queues import PutQueue
from tests.store.runs.claiming.test_claim import postgres_only
from tests.support.factories import MINUTE, NOON, World

WORK = HandlerInfo(name="work", description="", input_schema=None, timeout=None, isolation=OUTSIDE)


@pytest.fixture
def outside(world: World) -> World:
    """A world with a declared handler `work`, and a task `t` of it of which any number of runs may wait."""
    world.do(DeclareHandler(WORK))
    register(world)
    return world


def register(world: World, name: str = "t", **fields: Any) -> None:
    defaults: dict[str, Any] = {
        "handler": "work",
        "overlap_policy": "allow",
        "schedule": {"type": "manual"},
    }
    world.register(name, **defaults | fields)


def lease(
    world: World,
    limit: int = 100,
    *handlers: str,
    queue: str = "default",
    seconds: float = 60,
    tasks: NameLimit = UNLIMITED,
) -> list[Leased]:
    command = Lease(
        queue=queue,
        handlers=handlers or ("work",),
        limit=limit,
        seconds=timedelta(seconds=seconds),
        tasks=tasks,
    )
    return world.do(command)


def ids(leased: list[Leased]) -> list[Id]:
    return [each.run_id for each in leased]


def held(world: World, id: Id) -> Any:
    """Return the columns that say who holds a run."""
    with world.database.read() as connection:
        return connection.execute(
            select(
                tables.run.c.holder, tables.run.c.lease_token_hash, tables.run.c.lease_expires_at
            ).where(tables.run.c.id == id)
        ).one()


def test_a_lease_starts_an_attempt_that_its_token_holds(outside: World) -> None:
    made = outside.run_now()
    outside.clock.advance(MINUTE)

    (leased,) = lease(outside)

    running = outside.run(made.id)
    assert (running.status, running.attempt) == (RunStatus.RUNNING, 1)
    assert running.started_at == running.first_started_at == NOON + MINUTE
    assert (leased.run_id, leased.attempt) == (made.id, 1)
    holder, token_hash, expires_at = held(outside, made.id)
    assert holder is None
    assert token_hash == hash_of(leased.token) == leased.token_hash
    assert expires_at == leased.expires_at
    assert leased.token not in repr(leased)
    assert lease(outside) == []


def test_a_lease_lasts_as_long_as_asked_by_the_clock_of_leases(outside: World) -> None:
    outside.run_now()

    (leased,) = lease(outside, seconds=45)

    due = [each.at for each in outside.effects if isinstance(each, DueSooner)]
    # By the clock of this process, whatever that of the database says.
    assert timedelta(seconds=44) < due[-1] - NOON <= timedelta(seconds=45)
    if outside.is_sqlite:
        assert leased.expires_at == NOON + timedelta(seconds=45)


def test_no_lease_is_longer_than_the_timeout_of_the_task(outside: World) -> None:
    register(outside, "short", timeout=5)
    outside.run_now("short")
    outside.run_now("t")

    first, second = sorted(lease(outside, seconds=60), key=lambda each: each.expires_at)

    assert second.expires_at - first.expires_at == timedelta(seconds=55)


def test_a_lease_that_meets_the_timeout_of_the_task_ends_as_that_timeout(outside: World) -> None:
    register(outside, "short", timeout=5, retry={"max_attempts": 1})
    made = outside.run_now("short")

    (leased,) = lease(outside, seconds=60)

    grant = outside.read(find_grant, made.id, leased.token)
    assert grant is not None
    assert grant.deadline_at == leased.expires_at
    over = leased.expires_at - MINUTE
    with outside.transaction() as tx:
        tx.connection.execute(update(tables.run).values(lease_expires_at=over))
        tx.connection.execute(update(tables.attempt_token).values(deadline_at=over))
    assert outside.do(ExpireLeases(10)) == 1
    error = outside.run(made.id).error
    assert error is not None
    assert (error.type, "timeout" in error.message) == ("timeout", True)


def test_every_run_of_a_lease_has_a_token_of_its_own(outside: World) -> None:
    made = [outside.run_now().id for _ in range(25)]

    leased = lease(outside, 23)

    assert ids(leased) == made[:23]
    assert len({each.token for each in leased}) == 23
    for each in leased:
        assert held(outside, each.run_id).lease_token_hash == hash_of(each.token)
    assert outside.run(made[-1]).status is RunStatus.QUEUED


def test_the_best_runs_come_first(outside: World) -> None:
    register(outside, "urgent", priority=5)
    late, early = (outside.run_now(scheduled_for=NOON - ago * MINUTE).id for ago in (1, 2))
    urgent = outside.run_now("urgent").id

    assert ids(lease(outside, 2)) == [urgent, early]
    assert ids(lease(outside)) == [late]


@pytest.mark.parametrize("isolation", ["none", "process"])
def test_what_a_replica_executes_is_never_leased(outside: World, isolation: str) -> None:
    outside.do(Announce((replace(WORK, name="http", isolation=isolation),)))
    outside.enlist("http")
    register(outside, "call", handler="http", target={"url": "https://example.com"})
    register(outside, "code", handler="noop")
    waiting = [outside.run_now("call").id, outside.run_now("code").id]

    assert lease(outside, 100, "http", "noop", "work") == []

    assert {outside.run(id).status for id in waiting} == {RunStatus.QUEUED}


def test_a_handler_that_a_replica_has_taken_over_is_not_leased(outside: World) -> None:
    outside.run_now()
    outside.do(Announce((replace(WORK, isolation="none"),)))

    assert lease(outside) == []


def test_a_secret_input_is_never_leased(outside: World) -> None:
    plain, sealed = outside.run_now().id, outside.run_now().id
    with outside.transaction() as tx:
        secret = tx.connection.execute(
            update(tables.run).where(tables.run.c.id == sealed).values(input=f"{PREFIX}key:AAAA")
        )
        assert secret.rowcount == 1

    assert ids(lease(outside)) == [plain]
    assert outside.run(sealed).status is RunStatus.QUEUED


def test_other_queues_and_handlers_are_left(outside: World) -> None:
    outside.do(DeclareHandler(replace(WORK, name="rest")))
    register(outside, "elsewhere", queue="mail")
    register(outside, "rest", handler="rest")
    outside.run_now("elsewhere")
    outside.run_now("rest")

    assert lease(outside) == []
    assert len(lease(outside, queue="mail")) == 1
    assert len(lease(outside, 100, "rest")) == 1


def test_a_paused_queue_leases_nothing(outside: World) -> None:
    outside.run_now()
    outside.do(PutQueue(name="default", concurrency=None, paused=True, by="me"))

    assert not outside.read(can_be_leased, "default", ("work",))
    assert lease(outside) == []


def test_the_limit_of_a_queue_counts_leased_runs(outside: World) -> None:
    outside.do(PutQueue(name="default", concurrency=3, paused=False, by="me"))
    register(outside, "local", handler="noop")
    for _ in range(3):
        outside.run_now()
        outside.run_now("local")

    leased, claimed = lease(outside, 2), outside.claim()

    assert len(leased) == 2
    assert len(claimed) == 1
    assert lease(outside) == []


def test_a_concurrency_key_counts_leased_runs(outside: World) -> None:
    register(outside, "keyed", concurrency={"key": "k", "limit": 1})
    register(outside, "local", handler="noop", concurrency={"key": "k", "limit": 1})
    outside.run_now("keyed")
    outside.run_now("local")

    assert len(lease(outside)) == 1
    assert outside.claim() == []


def test_runs_of_a_paused_task_and_those_that_wait_for_a_constraint_are_left(
    outside: World,
) -> None:
    register(outside, "constrained", constraints=[{"type": "kv", "key": "ready", "equals": True}])
    outside.run_now()
    outside.pause()
    outside.run_now("constrained")

    assert lease(outside) == []


def test_large_inputs_end_a_lease_early(outside: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leasing, "MOST_BYTES", 50_000)
    register(outside, "large", input="x" * 6_000)
    for _ in range(25):
        outside.run_now("large")

    assert [len(lease(outside)) for _ in range(3)] == [10, 10, 5]


def test_a_leased_run_outlives_the_replica_that_leased_it(outside: World) -> None:
    made = outside.run_now()
    lease(outside)
    outside.end_lease(outside.holder)
    by = outside.enlist()

    released = outside.do(Reap(by=by))

    assert released == 0
    assert outside.run(made.id).status is RunStatus.RUNNING


def test_a_run_can_be_leased_when_one_is_queued(outside: World) -> None:
    assert not outside.read(can_be_leased, "default", ("work",))
    outside.run_now()
    assert outside.read(can_be_leased, "default", ("other", "work"))
    assert not outside.read(can_be_leased, "default", ("other",))
    assert not outside.read(can_be_leased, "mail", ("work",))


def eight_times(world: World) -> list[list[Leased]]:
    return [lease(world, 5) for _ in range(8)]


@postgres_only
def test_replicas_that_lease_at_once_share_the_runs(world: World) -> None:
    world.do(DeclareHandler(WORK))
    register(world)
    made = {world.run_now().id for _ in range(60)}
    second = World(world.database.url.render_as_string(hide_password=False), NOON)
    try:
        with ThreadPoolExecutor(4) as threads:
            clients = (world, second, world, second)
            shares = [threads.submit(eight_times, client) for client in clients]
            leased = [each for share in shares for some in share.result(20) for each in some]
    finally:
        second.close()

    leased += lease(world)
    assert len(leased) == 60
    assert set(ids(leased)) == made


@pytest.mark.parametrize("held", ["by nothing", "by its queue", "by a key"])
def test_a_worker_with_a_limit_gets_only_runs_of_tasks_in_it(outside: World, held: str) -> None:
    ours = NameLimit(("a-", "b-"))
    fields = {"concurrency": {"key": "k", "limit": 9}} if held == "by a key" else {}
    for name in ("c-1", "a-1", "b-1", "a"):
        register(outside, name, priority=ord(name[0]) + 9 * len(name), **fields)
    if held == "by its queue":
        outside.do(PutQueue(name="default", concurrency=9, paused=False, by="me"))
    made = {name: outside.run_now(name).id for name in ("c-1", "a-1", "b-1", "a")}

    assert outside.read(can_be_leased, "default", ("work",), ours)
    leased = ids(lease(outside, tasks=ours))

    assert leased == [made["b-1"], made["a-1"]]
    assert lease(outside, tasks=ours) == lease(outside, tasks=NameLimit(())) == []
    assert not outside.read(can_be_leased, "default", ("work",), ours)
    assert ids(lease(outside)) == [made["c-1"], made["a"]]


def test_the_statement_of_an_unlimited_worker_says_nothing_of_tasks() -> None:
    assert "owner" not in str(candidates(Suspects.WITH, leasing.has_plain_input))
    limited = candidates(Suspects.WITH, leasing.OfCoveredTask(NameLimit(("a",))))
    assert "owner" in str(limited)
    assert candidates(Suspects.WITH, leasing.OfCoveredTask(NameLimit(("a",)))) is limited
