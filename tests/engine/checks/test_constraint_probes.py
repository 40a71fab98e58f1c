"""Probes of ports, URLs and disks."""

import socket
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from rota.clock import FakeClock
from rota.domain.constraints.evaluation import ConnectProbe, DiskProbe, ProbeResult
from rota.engine.checks import constraint_probes
from rota.engine.checks.constraint_checker import ConstraintChecker
from rota.engine.checks.constraint_probes import Prober
from tests.egress.guards import loopback_guard
from tests.engine.constraints import (
    INTERVAL,
    READY,
    closed_port,
    listening,
    look,
    on_sqlite,
    port_constraint,
    register,
    waits_for,
)
from tests.handlers.target import serving
from tests.support.factories import DEADLINE, NOON, World, eventually


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
        site.answer(status, b"a body that is not read")
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
    prober = Prober(clock, INTERVAL, lambda: None, loopback_guard())
    room = DiskProbe("/no/such/path")

    assert prober.result_of(room) is None
    eventually(lambda: not prober._in_progress)
    assert prober.result_of(room) == ProbeResult("no such file or directory", fresh=True)
    clock.advance(timedelta(seconds=INTERVAL))
    assert prober.result_of(room) == ProbeResult("no such file or directory", fresh=False)
    eventually(lambda: not prober._in_progress)
    prober.forget()
    assert prober.result_of(room) is not None
    prober.forget()
    prober.forget()
    assert prober.result_of(room) is None
    prober.stop()


def test_a_disk_that_hangs_is_reported_and_not_probed_again_before_it_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    mended = threading.Event()

    def hang(question: DiskProbe) -> int:
        asked.append(question.path)
        assert mended.wait(20)
        return 1

    monkeypatch.setattr(constraint_probes, "TIMEOUT", 0.01)
    monkeypatch.setattr(constraint_probes, "_free_bytes", hang)
    clock = FakeClock(NOON)
    prober = Prober(clock, INTERVAL, lambda: None, loopback_guard())
    room = DiskProbe("/mnt/far")

    prober.result_of(room)
    assert eventually(lambda: prober.result_of(room)) == ProbeResult("no answer within 0.01 s")
    clock.advance(timedelta(seconds=INTERVAL))
    assert prober.result_of(room) == ProbeResult("no answer within 0.01 s", fresh=False)
    assert asked == ["/mnt/far"]
    mended.set()
    prober.stop()


def test_a_disk_that_hangs_does_not_delay_the_end_of_the_process() -> None:
    ended = subprocess.run([sys.executable, "-c", _HANGS], timeout=DEADLINE, check=False)

    assert ended.returncode == 0


_HANGS = """
import threading
from rota.clock import SystemClock
from rota.domain.constraints.evaluation import DiskProbe
from rota.engine.checks import constraint_probes

asked = threading.Event()

def hang(question):
    asked.set()
    threading.Event().wait()

constraint_probes._free_bytes = hang
prober = constraint_probes.Prober(SystemClock(), 1, lambda: None, None)
prober.result_of(DiskProbe("/mnt/far"))
assert asked.wait(20)
prober.stop()
"""


def test_a_host_whose_name_does_not_resolve_is_not_reachable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("rota.egress.resolver.socket.getaddrinfo", unknown)
    prober = Prober(FakeClock(NOON), INTERVAL, lambda: None, loopback_guard())

    for asked, fault in (
        (ConnectProbe("db", 1, None), "name or service not known"),
        (
            ConnectProbe(None, None, "http://app.example.com/"),
            "app.example.com: name or service not known",
        ),
    ):
        prober.result_of(asked)
        eventually(lambda: not prober._in_progress)
        assert prober.result_of(asked) == ProbeResult(fault)
    prober.stop()
