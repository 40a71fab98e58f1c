"""The checker: rounds on a fake clock, and in a running service."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rota import Context, SyncContext, handler
from rota.clock import FakeClock
from rota.db import tables
from rota.db.encryption import Keyring
from rota.domain.constraints.evaluation import Answer, Answers, HasRoom
from rota.domain.effects import KvWritten, RunsConstrained, RunsReady
from rota.domain.kv.operations import Set
from rota.domain.primitives.ids import random_id
from rota.engine import constraint_probes
from rota.engine.constraint_checker import ConstraintChecker, load_per_processor
from rota.engine.constraint_probes import Prober
from rota.store.kv.transactions import Transact
from rota.store.runs.claim import ReleaseDelayed
from tests.engine.service import Service
from tests.handlers.target import serving
from tests.support.factories import BROKEN, DEADLINE, HOUR, MINUTE, NOON, World, eventually

Serve = Callable[..., Service]
READY = {"type": "kv", "key": "ready", "equals": True}
CALM = {"type": "max_load", "load": 0.5}
INTERVAL = 5.0
on_sqlite = pytest.mark.parametrize("database_engine", ["sqlite"], indirect=True)
#: So long that only a wake-up, or a known time, can have caused a round.
NEVER = 3_600


@pytest.fixture
def checker(world: World) -> Iterator[ConstraintChecker]:
    made = checking(world)
    yield made
    made.stop()


def checking(world: World, load: Callable[[], float | None] = lambda: 0.1) -> ConstraintChecker:
    return ConstraintChecker(world.database, world.writer, world.clock, INTERVAL, load)


def register(on: Any, name: str = "t", *constraints: dict[str, Any], **members: Any) -> None:
    defaults = {"schedule": {"type": "manual"}, "overlap_policy": "allow"}
    on.register(name, constraints=list(constraints), **defaults | members)


def look(checker: ConstraintChecker) -> None:
    """Make a round, and another one when the probes have answered."""
    checker.check()
    eventually(lambda: not checker._prober._in_progress)
    checker.check()


def waits_for(on: Any, name: str = "t") -> list[str]:
    """Return what the runs of a task wait for, or their status if they do not wait."""
    return [",".join(run.waiting_on) or run.status for run in on.runs(name)]


@contextmanager
def listening() -> Iterator[int]:
    """A port that accepts connections and never sends anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def closed_port() -> int:
    with listening() as port:
        return port


def port_constraint(port: int, **members: Any) -> dict[str, Any]:
    return {"type": "reachable", "host": "127.0.0.1", "port": port, **members}


# ------------------------------------------------------------------------------------------------------------- rounds


def test_a_run_can_start_when_its_constraints_are_met(
    world: World, checker: ConstraintChecker
) -> None:
    register(world, "t", READY, CALM)
    run = world.run_now()

    checker.check()
    assert waits_for(world) == ["constraint:kv"]

    world.set("ready", True)
    checker.check()
    assert waits_for(world) == ["queued"]
    assert [claimed.id for claimed in world.claim()] == [run.id]


def test_a_run_lists_all_constraints_that_it_waits_for(world: World) -> None:
    register(world, "t", READY, CALM, {**READY, "key": "other", "name": "the-other"})
    world.run_now()

    checking(world, lambda: 3.0).check()

    assert waits_for(world) == ["constraint:kv,constraint:max_load,constraint:the-other"]


def test_an_entry_that_is_not_json_does_not_block_other_tasks(
    world: World, checker: ConstraintChecker
) -> None:
    register(world, "a", READY)
    register(world, "b", {"type": "kv", "task": "a", "key": "ready", "exists": True})
    register(world, "c", {"type": "kv", "task": "a", "key": "ready", "not_equals": True})
    register(world, "d", READY)
    world.set("ready", True, name="d")
    for content in (b"\x89PNG", b"true"):
        written = Set("ready", content, None, "image/png")
        world.do(Transact(task="a", operations=(written,), by="me"))
        for name in "abcd":
            world.run_now(name)

        checker.check()

    queued = ["queued", "queued"]
    assert [waits_for(world, name) for name in "abcd"] == [["constraint:kv"] * 2, *[queued] * 3]


def test_an_entry_that_cannot_be_decrypted_does_not_block_other_tasks(
    migrated_database_url: str,
) -> None:
    sealed = World(migrated_database_url, keyring=Keyring({"k1": bytes(32)}))
    register(sealed, "a", READY)
    register(sealed, "b", {"type": "kv", "task": "a", "key": "ready", "exists": True})
    register(sealed, "c", {"type": "kv", "task": "a", "key": "ready", "not_equals": 1})
    register(sealed, "d", CALM)
    sealed.set("ready", True, name="a")
    for name in "abcd":
        sealed.run_now(name)
    sealed.close()

    with closing(World(migrated_database_url)) as world:
        checking(world).check()

        waits = ["constraint:kv"]
        assert [waits_for(world, name) for name in "abcd"] == [waits, ["queued"], waits, ["queued"]]


def test_each_task_is_checked_against_its_own_constraints(
    world: World, checker: ConstraintChecker
) -> None:
    register(world, "a", {**READY, "task": "c"})
    register(world, "b", {**READY, "key": "not-there"})
    register(world, "c", {**READY, "equals": 1})
    for name in "abc":
        world.run_now(name)
    world.set("ready", True, name="c")

    checker.check()

    assert [waits_for(world, name) for name in "abc"] == [
        ["queued"],
        ["constraint:kv"],
        ["constraint:kv"],
    ]


def test_more_tasks_than_a_page_has_are_all_checked(
    world: World, checker: ConstraintChecker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rota.engine.constraint_checker.BATCH", 2)
    for name in "abcde":
        register(world, name, {**CALM, "load": 0.05 if name == "d" else 0.5})
        for _ in range(3):
            world.run_now(name)

    checker.check()

    assert [waits_for(world, name)[0] for name in "abcde"] == [
        *["queued"] * 3,
        "constraint:max_load",
        "queued",
    ]
    assert all(len(set(waits_for(world, name))) == 1 for name in "abcde")


def test_the_constraints_of_many_runs_of_a_task_are_checked_once(world: World) -> None:
    looks: list[float] = []

    def load() -> float:
        looks.append(0.1)
        return 0.1

    register(world, "t", CALM)
    world.run_now()
    with world.transaction() as tx:
        (row,) = tx.connection.execute(tables.run.select()).mappings()
        copies = [{**row, "id": random_id()} for _ in range(700)]
        tx.connection.execute(tables.run.insert(), copies)

    checking(world, load).check()

    assert len(looks) == 1
    assert world.count(tables.run, tables.run.c.status == "queued") == 701


def test_a_run_is_skipped_if_it_has_waited_too_long(
    world: World, checker: ConstraintChecker
) -> None:
    register(world, "t", {**READY, "deadline": "1h"}, CALM)
    world.run_now()
    assert checker.check() == NOON + HOUR

    world.clock.advance(HOUR - MINUTE)
    checker.check()
    assert waits_for(world) == ["constraint:kv"]

    world.clock.advance(MINUTE)
    world.run_now()
    checker.check()
    assert waits_for(world) == ["skipped", "constraint:kv"]
    assert world.runs()[0].reason == "constraint_deadline"


def test_the_deadline_of_a_met_constraint_has_no_effect(world: World) -> None:
    register(world, "t", READY, {**CALM, "deadline": "1h"})
    world.run_now()
    world.clock.advance(2 * HOUR)

    checking(world, lambda: 0.1).check()
    assert waits_for(world) == ["constraint:kv"]

    checking(world, lambda: 0.9).check()
    assert waits_for(world) == ["skipped"]


def test_a_met_constraint_unblocks_a_run_even_after_the_deadline(
    world: World, checker: ConstraintChecker
) -> None:
    register(world, "t", {**CALM, "deadline": "1h"})
    world.run_now()
    world.clock.advance(2 * HOUR)

    checker.check()

    assert waits_for(world) == ["queued"]


def test_the_next_round_comes_when_a_window_opens(world: World, checker: ConstraintChecker) -> None:
    register(world, "t", {"type": "window", "from": "18:30", "to": "19:00"})
    world.run_now()

    opens = checker.check()
    assert opens == datetime(2026, 3, 10, 18, 30, tzinfo=UTC)

    world.clock.set(opens - timedelta(milliseconds=1))
    checker.check()
    assert waits_for(world) == ["constraint:window"]
    world.clock.set(opens)
    checker.check()
    assert waits_for(world) == ["queued"]


def test_every_attempt_is_checked(world: World, checker: ConstraintChecker) -> None:
    register(world, "t", READY, retry={"initial_interval": 60, "jitter": False})
    world.run_now()
    world.set("ready", True)
    checker.check()
    (claimed,) = world.claim()
    world.set("ready", False)
    world.end(claimed, BROKEN)
    world.clock.advance(MINUTE)
    world.do(ReleaseDelayed(10))

    checker.check()
    assert waits_for(world) == ["constraint:kv"]

    world.set("ready", True)
    checker.check()
    assert [again.attempt for again in world.claim()] == [2]


def test_a_retry_fails_when_it_cannot_come_in_time(
    world: World, checker: ConstraintChecker
) -> None:
    retry = {"initial_interval": 60, "jitter": False, "max_elapsed": "1h"}
    register(world, "t", {**READY, "deadline": "5m"}, retry=retry)
    world.run_now()
    world.set("ready", True)
    checker.check()
    world.end(world.claim()[0], BROKEN)
    world.set("ready", False)
    world.clock.advance(10 * MINUTE)
    world.do(ReleaseDelayed(10))

    assert checker.check() == NOON + HOUR
    assert waits_for(world) == ["constraint:kv"]
    world.clock.set(NOON + HOUR)
    checker.check()

    assert [(run.status, run.reason) for run in world.runs()] == [("failed", "deadline")]


def test_a_resumed_run_is_checked_again(world: World, checker: ConstraintChecker) -> None:
    register(world, "t", READY)
    world.run_now()
    checker.check()
    world.pause()
    world.set("ready", True)
    checker.check()
    assert waits_for(world) == ["paused"]

    world.resume()
    checker.check()

    assert waits_for(world) == ["queued"]


def test_runs_are_unblocked_when_their_constraints_are_removed(
    world: World, checker: ConstraintChecker
) -> None:
    register(world, "t", READY)
    world.run_now()
    checker.check()

    register(world, "t", on_conflict="update")
    checker.check()

    assert waits_for(world) == ["queued"]


def test_only_effects_that_concern_waiting_runs_wake_the_checker(
    world: World, checker: ConstraintChecker
) -> None:
    register(world, "t", {**READY, "task": "other"})
    register(world, "other")
    world.run_now()
    checker.check()

    def rings(*effects: Any) -> bool:
        checker._woken.clear()
        checker.committed(effects)
        return checker._woken.is_set()

    assert rings(RunsReady("default"), RunsConstrained())
    assert rings(KvWritten(world.task("other").id))
    assert not rings(RunsReady("default"), KvWritten(world.task("t").id))


def test_of_two_replicas_the_one_with_a_low_load_unblocks_runs(world: World) -> None:
    register(world, "t", CALM)
    world.run_now()

    checking(world, lambda: 0.9).check()
    assert waits_for(world) == ["constraint:max_load"]
    checking(world, lambda: 0.1).check()
    assert waits_for(world) == ["queued"]


def test_the_load_of_this_machine_is_per_processor() -> None:
    load = load_per_processor()

    assert load is not None
    assert 0 <= load < 1_000


# ------------------------------------------------------------------------------------------------------------ probing


@on_sqlite
def test_a_port_is_reachable_if_it_accepts_a_connection(
    world: World, checker: ConstraintChecker
) -> None:
    register(world, "shut", port_constraint(closed_port()))
    world.run_now("shut")
    with listening() as port:
        register(world, "open", port_constraint(port))
        world.run_now("open")
        look(checker)

    assert waits_for(world, "open") == ["queued"]
    assert waits_for(world, "shut") == ["constraint:reachable"]


@on_sqlite
@pytest.mark.parametrize(("status", "reachable"), [(200, True), (404, True), (503, False)])
def test_a_url_is_reachable_if_it_answers_with_a_status_below_500(
    world: World, checker: ConstraintChecker, status: int, reachable: bool
) -> None:
    with serving() as site:
        site.answer(status, b"a body that nobody reads")
        url = f"http://127.0.0.1:{site.port}/healthz?deep=1"
        register(world, "t", {"type": "reachable", "url": url})
        world.run_now()
        look(checker)

    assert waits_for(world) == ["queued" if reachable else "constraint:reachable"]
    assert [(each.method, each.path) for each in site.received] == [("GET", "/healthz?deep=1")]


@on_sqlite
@pytest.mark.parametrize(
    ("size", "path", "expected"),
    [("1KiB", "", "queued"), ("1000TiB", "", "constraint:disk"), (1, "/no", "constraint:disk")],
)
def test_free_disk_space_is_compared_with_the_constraint(
    world: World, checker: ConstraintChecker, tmp_path: Path, size: Any, path: str, expected: str
) -> None:
    disk = {"type": "min_free_disk", "bytes": size, "path": f"{tmp_path}{path}", "name": "disk"}
    register(world, "t", disk)
    world.run_now()

    look(checker)

    assert waits_for(world) == [expected]


@on_sqlite
def test_a_target_is_not_probed_before_all_other_constraints_are_met(
    world: World, checker: ConstraintChecker
) -> None:
    with serving() as site:
        url = f"http://127.0.0.1:{site.port}/"
        register(world, "t", READY, {"type": "reachable", "url": url})
        world.run_now()
        look(checker)
        assert (waits_for(world), site.received) == (["constraint:kv"], [])

        world.set("ready", True)
        look(checker)
        assert (waits_for(world), len(site.received)) == (["queued"], 1)


@on_sqlite
def test_a_target_is_probed_once_for_all_runs_and_again_after_the_interval(
    world: World, checker: ConstraintChecker
) -> None:
    with serving() as site:
        site.answer(500)
        for name in "ab":
            register(world, name, {"type": "reachable", "url": f"http://127.0.0.1:{site.port}/"})
            world.run_now(name)
        look(checker)
        look(checker)
        assert len(site.received) == 1

        site.answer(200)
        world.clock.advance(timedelta(seconds=INTERVAL))
        look(checker)

    assert len(site.received) == 2
    assert waits_for(world, "a") == waits_for(world, "b") == ["queued"]


def test_an_answer_is_cached_while_it_is_requested() -> None:
    clock = FakeClock(NOON)
    prober = Prober(clock, INTERVAL, lambda: None)
    room = HasRoom("/no/such/path")

    assert prober.ask(room) is None
    eventually(lambda: not prober._in_progress)
    assert prober.ask(room) == Answer("no such file or directory", fresh=True)
    clock.advance(timedelta(seconds=INTERVAL))
    assert prober.ask(room) == Answer("no such file or directory", fresh=False)
    eventually(lambda: not prober._in_progress)
    prober.forget()
    assert prober.ask(room) is not None
    prober.forget()
    prober.forget()
    assert prober.ask(room) is None
    prober.stop()


def test_a_disk_that_hangs_is_reported_and_not_probed_again_before_it_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    mended = threading.Event()

    def hang(question: HasRoom) -> int:
        asked.append(question.path)
        assert mended.wait(20)
        return 1

    monkeypatch.setattr(constraint_probes, "TIMEOUT", 0.01)
    monkeypatch.setattr(constraint_probes, "_blocking_step", hang)
    clock = FakeClock(NOON)
    prober = Prober(clock, INTERVAL, lambda: None)
    room = HasRoom("/mnt/far")

    prober.ask(room)
    assert eventually(lambda: prober.ask(room)) == Answer("no answer within 0.01 s")
    clock.advance(timedelta(seconds=INTERVAL))
    assert prober.ask(room) == Answer("no answer within 0.01 s", fresh=False)
    assert asked == ["/mnt/far"]
    mended.set()
    prober.stop()


def test_a_disk_that_hangs_does_not_delay_the_end_of_the_process() -> None:
    ended = subprocess.run([sys.executable, "-c", _HANGS], timeout=DEADLINE, check=False)

    assert ended.returncode == 0


_HANGS = """
import threading
from rota.clock import SystemClock
from rota.domain.constraints.evaluation import HasRoom
from rota.engine import constraint_probes

asked = threading.Event()

def hang(question):
    asked.set()
    threading.Event().wait()

constraint_probes._blocking_step = hang
prober = constraint_probes.Prober(SystemClock(), 1, lambda: None)
prober.ask(HasRoom("/mnt/far"))
assert asked.wait(20)
prober.stop()
"""


def test_a_host_whose_name_does_not_resolve_is_not_reachable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("rota.engine.constraint_probes.socket.getaddrinfo", unknown)
    prober = Prober(FakeClock(NOON), INTERVAL, lambda: None)

    for asked in (Answers("db", 1, None), Answers(None, None, "http://app.example.com/")):
        prober.ask(asked)
        eventually(lambda: not prober._in_progress)
        assert prober.ask(asked) == Answer("name or service not known")
    prober.stop()


# ------------------------------------------------------------------------------------------------- in a running service


@handler("noop")
async def noop(ctx: Context) -> None:
    """Do nothing."""


@handler("prepare")
async def prepare(ctx: Context) -> None:
    """Set the entry `ready`."""
    await ctx.kv.set("ready", True)


def test_a_client_that_writes_an_entry_starts_the_run(serve: Serve) -> None:
    service = serve(noop, constraint_interval=NEVER)
    register(service, "t", READY)
    run = service.run_now()
    eventually(lambda: waits_for(service) == ["constraint:kv"])

    service.set("ready", True)

    assert service.ended(run.id).status == "succeeded"


def test_a_run_of_another_task_that_writes_an_entry_starts_the_run(serve: Serve) -> None:
    service = serve(noop, prepare, constraint_interval=NEVER)
    register(service, "other", handler="prepare")
    register(service, "t", {**READY, "task": "other"})
    run = service.run_now()
    eventually(lambda: waits_for(service) == ["constraint:kv"])

    service.run_now("other")

    assert service.ended(run.id).status == "succeeded"


def test_a_retry_waits_for_its_constraints_again(serve: Serve) -> None:
    @handler("close-the-door")
    def close_the_door(ctx: SyncContext) -> int:
        service.set("ready", False)
        if ctx.attempt == 1:
            raise ValueError("broken")
        return ctx.attempt

    service = serve(close_the_door, constraint_interval=NEVER)
    retry = {"initial_interval": 0.01, "jitter": False}
    register(service, "t", READY, handler="close-the-door", retry=retry)
    service.set("ready", True)
    run = service.run_now()
    eventually(
        lambda: service.run(run.id).failures == 1 and waits_for(service) == ["constraint:kv"]
    )

    service.set("ready", True)

    assert service.ended(run.id).result == "2"


def test_a_deadline_is_enforced_without_a_round_at_its_interval(serve: Serve) -> None:
    service = serve(noop, constraint_interval=NEVER)
    register(service, "t", {**READY, "deadline": 0.2})

    run = service.ended(service.run_now().id)

    assert (run.status, run.reason) == ("skipped", "constraint_deadline")
    assert run.finished_at is not None
    assert timedelta(seconds=0.2) <= run.finished_at - run.created_at < timedelta(seconds=10)


def test_a_change_without_an_effect_is_noticed_after_the_interval(serve: Serve) -> None:
    service = serve(noop, constraint_interval=0.05)
    port = closed_port()
    register(service, "t", port_constraint(port))
    run = service.run_now()
    eventually(lambda: waits_for(service) == ["constraint:reachable"])

    with socket.create_server(("127.0.0.1", port)):
        assert service.ended(run.id).status == "succeeded"


def test_a_target_that_does_not_answer_delays_neither_other_runs_nor_a_stop(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constraint_probes, "TIMEOUT", 3 * DEADLINE)
    service = serve(noop, constraint_interval=NEVER)
    with listening() as silent, listening() as port:
        for number in range(20):
            url = f"http://127.0.0.1:{silent}/{number}"
            register(service, f"dead-{number}", {"type": "reachable", "url": url})
            service.run_now(f"dead-{number}")
        register(service, "t", port_constraint(port))
        began = time.monotonic()

        assert service.ended(service.run_now().id).status == "succeeded"
        service.stop()

        assert time.monotonic() - began < DEADLINE


def test_a_service_checks_waiting_runs_when_it_starts(serve: Serve) -> None:
    first = serve(noop, constraint_interval=NEVER)
    register(first, "t", READY)
    run = first.run_now()
    first.engine._constraints.stop()
    first.set("ready", True)
    first.stop()

    second = serve(noop, constraint_interval=NEVER)

    assert second.ended(run.id).status == "succeeded"
