import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Blame, Cancelled, Failed, Lost, Succeeded
from rota.handlers.processes import fork_server
from tests.handlers.bench import Bench, started, wait_until
from tests.handlers.conftest import SAMPLES


def gone(pid: int) -> bool:
    """Return whether a process has ended; a zombie has."""
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


def test_a_child_that_sends_invalid_json_fails_and_is_killed(bench: Bench) -> None:
    outcome = bench.run("sends-nonsense")

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


def test_a_thread_that_a_child_leaves_behind_does_not_delay_its_end(bench: Bench) -> None:
    assert bench.run("leaves-a-thread") == Succeeded('"left"', (), 5)


def test_a_forced_cancel_reaches_grandchildren(bench: Bench) -> None:
    running = bench.begin("family")
    _, child, grandchild = pids_of(running.wait_for_line("family"))

    bench.cancel(running, force=True)

    assert running.outcome() == Cancelled()
    wait_until(lambda: gone(child) and gone(grandchild), "the family lives")


def test_a_handler_that_kills_the_fork_server_is_lost_and_others_continue(own: Bench) -> None:
    neighbour = own.begin("hangs")
    neighbour.wait_for_line("hanging")

    lost = [own.run("kills-the-server"), neighbour.outcome()]
    assert [each.blame for each in lost if isinstance(each, Lost)] == [Blame.SHARED] * 2
    assert isinstance(own.run("write-only"), Succeeded)


def test_a_fork_server_that_does_not_answer_is_replaced(
    own: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fork_server, "ANSWER_SECONDS", 0.3)
    neighbour = own.begin("hangs")
    neighbour.wait_for_line("hanging")

    assert isinstance(own.run("stops-the-server"), Succeeded)

    assert isinstance(neighbour.outcome(), Lost)
    assert isinstance(own.run("write-only"), Succeeded)
    assert not own.executor.fork_server_is_silent()


def test_a_fork_server_that_does_not_answer_is_reported_meanwhile(
    own: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fork_server, "ANSWER_SECONDS", 1.0)

    stopped = own.begin("stops-the-server")

    wait_until(own.executor.fork_server_is_silent, "it was not reported")
    stopped.outcome()
    assert not own.executor.fork_server_is_silent()


def test_isolated_handlers_do_not_see_the_settings_of_the_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("ROTA_API_KEY", "ROTA_ENCRYPTION_KEYS", "ROTA_DATABASE_URL", "PGPASSWORD"):
        monkeypatch.setenv(name, "a-secret")
    monkeypatch.setenv("APP_SECRET", "theirs")

    with started(SAMPLES) as bench:
        outcome = bench.run("returns-its-environment")

    assert isinstance(outcome, Succeeded)
    names = json.loads(outcome.result)
    assert "APP_SECRET" in names
    assert not [name for name in names if name.startswith(("ROTA_", "PG"))]


def test_a_handler_that_kills_the_fork_server_is_found_and_harms_no_run_twice(own: Bench) -> None:
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


@pytest.mark.parametrize("name", ["returns-its-process", "returns-its-process-sync"])
def test_a_suspect_gets_a_process_of_its_own_for_every_kind_of_handler(
    own: Bench, name: str
) -> None:
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


def test_a_suspect_with_process_isolation_still_fails_with_its_process(own: Bench) -> None:
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
