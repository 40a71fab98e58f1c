import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from rota.domain.kv.entries import KvChange
from rota.domain.kv.run_writes import Committed, KvWork
from rota.domain.runs.errors import ErrorResponse, RunError
from rota.domain.runs.outcomes import (
    Blame,
    Cancelled,
    Failed,
    Fatal,
    Lost,
    RetryRequested,
    Succeeded,
)
from rota.handlers.processes import fork_server, protocol
from tests.handlers.bench import Bench, started, wait_until
from tests.handlers.conftest import SAMPLES


def gone(pid: int) -> bool:
    """Tell whether a process has ended; a zombie has."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return "\nState:\tZ" in status


def exited(bench: Bench, name: str) -> RunError:
    outcome = bench.run(name)
    assert isinstance(outcome, Failed), outcome
    assert outcome.error.type == "process.exited"
    return outcome.error


def test_a_child_is_a_session_of_its_own_without_input_or_servers(bench: Bench) -> None:
    outcome = bench.run("where")

    assert isinstance(outcome, Succeeded), outcome
    assert json.loads(outcome.result) == {"session": True, "no_stdin": True, "servers": []}


def test_a_child_that_leaves_with_os_exit_fails(bench: Bench) -> None:
    assert "exit status 3" in exited(bench, "exits").message


def test_a_child_that_crashes_fails_and_its_lines_say_where(bench: Bench) -> None:
    running = bench.begin("crashes")

    outcome = running.outcome()
    assert isinstance(outcome, Failed)
    assert outcome.error.message == "the process was killed by SIGSEGV"
    lines = [line.message for line in running.lines()]
    assert "Fatal Python error: Segmentation fault" in lines
    assert any("samples.py" in line and "crashes" in line for line in lines)


def test_a_child_that_closes_its_connection_fails(bench: Bench) -> None:
    assert "exit status 0" in exited(bench, "closes-everything").message


FINE: dict[str, Any] = {
    "kind": "Succeeded",
    "result": "1",
    "changes": [],
    "kv_revision": 5,
    "registrations": [],
    "next_fire": None,
    "others": [],
}
CHANGE = {"key": "k", "value": "1", "ttl": None, "replaces": False, "type": "application/json"}


def changed(**members: Any) -> dict[str, Any]:
    return {"changes": [CHANGE | members]}


@pytest.mark.parametrize(
    "forged",
    [
        {"result": "NOT JSON"},
        {"result": '"' + "x" * 20_000 + '"'},
        {"result": "NaN"},
        {"kv_revision": -1},
        {"next_fire": "2026-12-24T09:00:00"},
        {"next_fire": "0001-01-01T00:00:00+00:00"},
        changed(key="bad key\n"),
        changed(key="_result"),
        changed(key=7),
        changed(value="NOT JSON"),
        changed(value='"' + "x" * 2_000 + '"'),
        changed(value="\1", type="text/html\r\nX: y"),
        changed(value="\xef\xbb\xbf1"),
        changed(ttl=-5),
        changed(ttl=1e11),
        {"changes": [{"op": "increment", "key": "k", "by": "1"}]},
        {"changes": [{"op": "increment", "key": "k", "by": True}]},
        {"changes": [{"op": "append", "key": "k", "value": "NOT JSON", "max_length": None}]},
        {"changes": [{"op": "append", "key": "k", "value": "1", "max_length": -1}]},
        {"changes": [{"op": "max", "key": "k", "value": "}"}]},
        {"changes": [{"op": "check", "key": "k", "version": "1", "value": None}]},
        {"others": [{"task_id": "1", "task": "t", "changes": [CHANGE], "revision": 1}]},
        {"others": [{"task_id": str(UUID(int=7)), "task": "a b", "changes": [], "revision": 1}]},
    ],
)
def test_the_word_of_a_child_is_checked_as_that_of_a_client_is(
    bench: Bench, forged: dict[str, Any]
) -> None:
    outcome = bench.run("says", json.dumps({"outcome": FINE | forged}))

    assert isinstance(outcome, Failed)
    assert outcome.error.type == "process.protocol"


def test_what_is_checked_of_a_child_is_what_its_handler_could_have_said(bench: Bench) -> None:
    assert bench.run("says", json.dumps({"outcome": FINE | changed()})) == Succeeded(
        "1", (KvChange("k", b"1"),), 5
    )


@pytest.mark.parametrize("kind", ["Failed", "Fatal", "RetryRequested"])
def test_the_error_of_a_child_is_as_long_as_one_that_is_made_here(bench: Bench, kind: str) -> None:
    error = dict.fromkeys(("type", "message", "traceback"), "x" * 100000)
    more = {"reason": "fatal", "after": None, "lengthens": False}
    response = {"status": 500, "headers": {}, "body": "x" * 100_000, "truncated": False}
    said = {
        "kind": kind,
        "error": error | {"message": "a\1" * 50_000, "response": response},
        **more,
    }

    outcome = bench.run("says", json.dumps({"outcome": said}))

    assert isinstance(outcome, Failed | Fatal | RetryRequested)
    told = outcome.error
    assert len(told.type) < 400
    assert len(told.message) < 2_200
    assert len(told.traceback or "") < 17_100
    assert told.response is None


@pytest.mark.parametrize(
    "message",
    [
        {"line": ["a level that no column takes", "text"]},
        {"line": [None, "text"]},
        {"outcome": {"kind": "Conflicted", "key": "k" * 100_000, "task": None}},
        {"outcome": {"kind": "Conflicted", "key": "k", "task": "no name"}},
    ],
)
def test_lines_and_conflicts_of_a_child_are_checked_too(
    bench: Bench, message: dict[str, Any]
) -> None:
    outcome = bench.run("says", json.dumps(message))

    assert isinstance(outcome, Failed)
    assert outcome.error.type == "process.protocol"


def test_a_child_registers_no_more_than_its_handler_may(bench: Bench) -> None:
    made = [
        {"name": f"t{number}", "handler": "says", "schedule": {"type": "manual"}}
        for number in range(101)
    ]

    outcome = bench.run("says", json.dumps({"outcome": FINE | {"registrations": made}}))

    assert isinstance(outcome, Failed)
    assert outcome.error.type == "process.protocol"


def test_a_check_point_of_a_child_is_checked_too(bench: Bench) -> None:
    committed: list[KvWork] = []

    def commit(work: KvWork) -> Committed:
        committed.append(work)
        return Committed(9)

    forged = {"commit_kv": {"revision": 5, "others": [], **changed(value="NOT JSON")}}
    outcome = bench.run("says", json.dumps(forged), commit_kv=commit)

    assert isinstance(outcome, Failed)
    assert outcome.error.type == "process.protocol"
    assert committed == []


def test_a_child_that_says_nonsense_fails_and_is_killed(bench: Bench) -> None:
    outcome = bench.run("says-nonsense")

    assert isinstance(outcome, Failed)
    assert outcome.error.type == "process.protocol"


def test_a_forced_cancel_kills_a_child_that_hangs(bench: Bench) -> None:
    running = bench.begin("hangs")
    running.wait_for_line("hanging")

    bench.cancel(running)
    assert not running.ended
    bench.cancel(running, force=True)

    assert running.outcome() == Cancelled()


def test_a_soft_cancel_is_seen_by_the_handler(bench: Bench) -> None:
    heeds, waits = bench.begin("heeds"), bench.begin("waits-process")
    heeds.wait_for_line("heeding")
    waits.wait_for_line("waiting")

    bench.cancel(heeds)
    bench.cancel(waits)

    assert heeds.outcome() == Succeeded('"heeded"', (), 5)
    assert waits.outcome() == Cancelled()


@pytest.mark.parametrize("name", ["leaves-a-grandchild", "leaves-a-daemon"])
def test_what_a_child_leaves_behind_is_killed(bench: Bench, name: str) -> None:
    outcome = bench.run(name)

    assert isinstance(outcome, Succeeded), outcome
    wait_until(lambda: gone(int(outcome.result)), "it lives")


def test_a_thread_that_a_child_leaves_behind_does_not_keep_it(bench: Bench) -> None:
    assert bench.run("leaves-a-thread") == Succeeded('"left"', (), 5)


def test_a_forced_cancel_reaches_grandchildren(bench: Bench) -> None:
    running = bench.begin("family")
    _, child, grandchild = pids_of(running.wait_for_line("family"))

    bench.cancel(running, force=True)

    assert running.outcome() == Cancelled()
    wait_until(lambda: gone(child) and gone(grandchild), "the family lives")


def test_a_handler_that_kills_the_process_server_is_lost_and_others_go_on(own: Bench) -> None:
    neighbour = own.begin("hangs")
    neighbour.wait_for_line("hanging")

    lost = [own.run("kills-the-server"), neighbour.outcome()]
    assert [each.blame for each in lost if isinstance(each, Lost)] == [Blame.SHARED] * 2
    assert isinstance(own.run("write-only"), Succeeded)


def test_a_process_server_that_does_not_answer_is_replaced(
    own: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fork_server, "ANSWER_SECONDS", 0.3)
    neighbour = own.begin("hangs")
    neighbour.wait_for_line("hanging")

    assert isinstance(own.run("stops-the-server"), Succeeded)

    assert isinstance(neighbour.outcome(), Lost)
    assert isinstance(own.run("write-only"), Succeeded)
    assert not own.executor.process_server_is_silent()


def test_a_process_server_that_does_not_answer_is_told_meanwhile(
    own: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fork_server, "ANSWER_SECONDS", 1.0)

    stopped = own.begin("stops-the-server")

    wait_until(own.executor.process_server_is_silent, "nobody was told")
    stopped.outcome()
    assert not own.executor.process_server_is_silent()


def test_isolated_handlers_do_not_see_what_the_service_was_set_up_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("ROTA_API_KEY", "ROTA_ENCRYPTION_KEYS", "ROTA_DATABASE_URL", "PGPASSWORD"):
        monkeypatch.setenv(name, "a-secret")
    monkeypatch.setenv("APP_SECRET", "theirs")

    with started(SAMPLES) as bench:
        outcome = bench.run("tells-its-environment")

    assert isinstance(outcome, Succeeded)
    names = json.loads(outcome.result)
    assert "APP_SECRET" in names
    assert not [name for name in names if name.startswith(("ROTA_", "PG"))]


def test_whoever_kills_the_process_server_is_found_out_and_harms_nobody_twice(own: Bench) -> None:
    neighbour = own.begin("hangs")
    neighbour.wait_for_line("hanging")
    poison = own.begin("kills-the-server")
    assert poison.outcome() == neighbour.outcome()

    neighbour = own.begin("hangs", suspect=True, run_id=neighbour.call.run_id)
    neighbour.wait_for_line("hanging")
    beside = own.begin("hangs")
    beside.wait_for_line("hanging")

    for _ in range(3):
        lost = own.run("kills-the-server", suspect=True, run_id=poison.call.run_id)
        assert isinstance(lost, Lost)
        assert lost.blame is Blame.ALONE
    for each in (neighbour, beside):
        assert not each.ended
        own.cancel(each, force=True)
        assert each.outcome() == Cancelled()


@pytest.mark.parametrize("name", ["tells-its-process", "tells-its-process-sync"])
def test_a_suspect_has_a_process_to_itself_whatever_its_handler_is(own: Bench, name: str) -> None:
    for suspect in (False, True):
        outcome = own.run(name, suspect=suspect)

        assert isinstance(outcome, Succeeded)
        assert (outcome.result == str(os.getpid())) is not suspect
        assert [change.key for change in outcome.changes] == ["written"]


@pytest.mark.parametrize("name", ["dies", "dies-sync"])
def test_a_suspect_that_ends_its_process_is_to_blame_alone(own: Bench, name: str) -> None:
    neighbour = own.begin("hangs", suspect=True)
    neighbour.wait_for_line("hanging")

    assert own.run(name, "11", suspect=True) == Lost(
        Blame.ALONE, "the process was killed by SIGSEGV"
    )
    assert not neighbour.ended
    own.cancel(neighbour, force=True)
    assert neighbour.outcome() == Cancelled()


def test_a_handler_that_asks_for_a_process_fails_with_it_as_before(own: Bench) -> None:
    for suspect in (False, True):
        outcome = own.run("dies-process", "11", suspect=suspect)

        assert isinstance(outcome, Failed)
        assert outcome.error.type == "process.exited"


def test_suspects_take_no_process_from_the_others() -> None:
    with started(SAMPLES, process_concurrency=1) as bench:
        suspect = bench.begin("hangs", suspect=True)
        suspect.wait_for_line("hanging")

        assert isinstance(bench.run("write-only"), Succeeded)
        bench.cancel(suspect, force=True)
        assert suspect.outcome() == Cancelled()


def test_no_more_children_than_allowed_run_at_a_time() -> None:
    with started(SAMPLES, process_concurrency=1) as bench:
        first = bench.begin("hangs")
        first.wait_for_line("hanging")
        second, third = bench.begin("write-only"), bench.begin("write-only")

        bench.cancel(third)
        assert third.outcome() == Cancelled()
        assert not second.ended
        bench.cancel(first, force=True)

        assert first.outcome() == Cancelled()
        assert isinstance(second.outcome(), Succeeded)


def test_a_megabyte_of_prints_is_bounded(bench: Bench) -> None:
    running = bench.begin("prints-a-megabyte-process", log_bytes=5_000)

    assert running.outcome() == Succeeded("null", (), 5)
    lines = running.lines()
    assert sum(len(line.message) for line in lines) < 5_100
    assert lines[-1].message == "… the rest was cut at 5000 bytes"


def test_many_children_one_after_the_other_leave_nothing_open(bench: Bench) -> None:
    bench.run("write-only")
    before = open_descriptors()

    for _ in range(20):
        assert isinstance(bench.run("write-only"), Succeeded)

    assert open_descriptors() <= before


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


SERVICE = """
import sys
from pathlib import Path
from threading import Event
from tests.handlers.bench import started

with started(Path(sys.argv[1])) as bench:
    running = bench.begin("family")
    print(running.wait_for_line("family"), flush=True)
    Event().wait(60)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_service_that_is_killed_leaves_no_processes(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SERVICE, str(SAMPLES)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as service:
        assert service.stdout is not None
        pids = pids_of(service.stdout.readline().decode())
        assert not any(gone(pid) for pid in pids)

        service.send_signal(number)

        wait_until(lambda: all(gone(pid) for pid in pids), f"some of {pids} live")


def pids_of(line: str) -> list[int]:
    return [int(word) for word in line.split()[1:]]


RESPONSE = {"status": 503, "headers": {"date": "now"}, "body": None, "truncated": False}


@pytest.mark.parametrize(
    "wrong",
    [
        {"response": "503"},
        {"response": []},
        {"response": RESPONSE | {"status": "503"}},
        {"response": RESPONSE | {"status": True}},
        {"response": RESPONSE | {"headers": [["date", "now"]]}},
        {"response": RESPONSE | {"headers": {"date": 3}}},
        {"response": RESPONSE | {"body": ["x"]}},
        {"response": RESPONSE | {"truncated": 0}},
        {"response": {"status": 503}},
        {"type": None},
        {"message": 7},
        {"traceback": ["a"]},
    ],
)
def test_an_error_of_a_child_is_taken_only_if_it_is_one(wrong: dict[str, Any]) -> None:
    right = {"type": "t", "message": "m", "traceback": None, "response": RESPONSE}
    message = {"outcome": {"kind": "Failed", "error": right}}
    read = protocol.read_outcome(message)
    assert read == Failed(RunError("t", "m", None, ErrorResponse(503, {"date": "now"}, None)))

    message = {"outcome": {"kind": "Failed", "error": right | wrong}}
    with pytest.raises((LookupError, TypeError, ValueError)):
        protocol.read_outcome(message)


@pytest.mark.parametrize(
    "said",
    [
        {"kind": "Conflicted", "key": 1, "task": None},
        {"kind": "RetryRequested", "after": 1e300, "error": {}, "lengthens": False},
        {"kind": "Succeeded", "changes": ["x"]},
        {"kind": []},
        [],
        None,
    ],
)
def test_an_outcome_of_a_child_that_is_none_fails_the_attempt(bench: Bench, said: Any) -> None:
    outcome = bench.run("says-outcome", json.dumps(said))

    assert isinstance(outcome, Failed)
    assert outcome.error.type == "process.protocol"
