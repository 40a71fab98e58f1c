"""`rota run`: a task run now, its outcome as exit code, lists, logs, and many runs at a time."""

from typing import Any

import pytest

from rota.cli import output
from rota.cli.remote.runs import following
from rota.cli.remote.service import Service
from tests.cli.remote.command import CommandLine


def failed(rota: CommandLine, name: str, count: int = 1) -> list[str]:
    """Let a task fail; return its runs."""
    rota.api.task(name, handler="refuse")
    return [rota.api.ended(rota.api.run(name))["id"] for _ in range(count)]


def test_the_name_of_a_task_runs_it_and_prints_the_id_of_the_run(rota: CommandLine) -> None:
    rota.api.task("now", input=1)

    short = rota.text("run", "now").strip()
    long = rota.text("task", "run", "now", "--input", '{"a": 2}').strip()

    assert rota.api.read(f"/v1/runs/{short}?wait=30")["result"] == 1
    assert rota.api.read(f"/v1/runs/{long}?wait=30")["result"] == {"a": 2}


def test_a_task_with_the_name_of_a_command_is_run_by_start(rota: CommandLine) -> None:
    rota.api.task("list", input="that task")

    ended = rota.json("run", "start", "list", "--wait")

    assert ended["result"] == "that task"


def test_waiting_prints_the_log_and_the_result_and_succeeds_with_the_run(rota: CommandLine) -> None:
    rota.api.task("waited", handler="talk", input=0)
    rota.api.task("echoed", input={"a": 1})

    talked = rota.run("run", "waited", "--wait")
    echoed = rota.run("run", "echoed", "--wait")

    assert talked.stdout.endswith(" warning that was all\n")
    assert "waited has ended: succeeded in " in talked.stderr
    assert echoed.stdout == '{\n  "a": 1\n}\n'


def test_waiting_fails_with_the_run_and_says_why(rota: CommandLine) -> None:
    rota.api.task("refusing", handler="refuse")

    ended = rota.run("run", "refusing", "--wait", code=1)

    assert "refusing has ended: failed (fatal)" in ended.stderr
    assert rota.json("run", "refusing", "--wait", code=1)["status"] == "failed"


def test_ctrl_c_as_soon_as_the_run_is_shown_tells_that_it_goes_on(
    rota: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    rota.api.task("interrupted")

    def note_interrupted(sentence: str) -> None:
        output.note(sentence)
        raise KeyboardInterrupt

    monkeypatch.setattr(following, "note", note_interrupted)
    shown = rota.run("run", "interrupted", "--wait", code=130).stderr

    run = shown.split("Run ")[1].split()[0]
    assert f"The run goes on. Follow it: rota run logs -f {run}." in shown
    assert rota.api.ended({"id": run})["status"] == "succeeded"


def test_ctrl_c_while_many_runs_are_changed_tells_where_the_results_are(
    rota: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed(rota, "interrupting", 2)
    call = Service.call

    def call_interrupted(self: Service, method: str, path: str, **options: Any) -> Any:
        answer = call(self, method, path, **options)
        if path.endswith("/confirm"):
            raise KeyboardInterrupt
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(Service, "call", call_interrupted)
        shown = rota.run(
            "run", "rerun", "--task", "interrupting", "--failed", "--yes", code=130
        ).stderr

    assert "The operation goes on." in shown
    operation = shown.split("rota run bulk ")[1].split()[0]
    assert len(rota.json("run", "bulk", operation)) == 2


def test_a_run_that_is_refused_or_unknown_has_its_code(rota: CommandLine) -> None:
    rota.api.task("strict", handler="greet", input={"name": "Ada"})

    rota.run("run", "strict", "--input", '{"name": 5}', code=2)
    rota.run("run", "nobody", code=4)
    rota.run("run", "show", "0193d1f5-0000-7000-8000-000000000000", code=4)


def test_runs_are_listed_by_filters_and_shown_with_their_attempts(rota: CommandLine) -> None:
    run = failed(rota, "listed")[0]
    rota.api.task("echo-listed")
    rota.api.ended(rota.api.run("echo-listed"))

    found = rota.json("run", "list", "--task", "listed", "--failed", "--since", "1h")
    text = rota.text("run", "list", "--task", "listed")
    shown = rota.text("run", "show", run)

    assert [each["id"] for each in found] == [run]
    assert "failed  fatal" in text
    assert rota.json("run", "list", "--task", "listed", "--until", "1h") == []
    assert "ATTEMPT  OUTCOME" in shown
    assert f"id             {run}\n" in shown


def test_times_and_filters_that_mean_nothing_are_refused(rota: CommandLine) -> None:
    rota.run("run", "list", "--since", "yesterday", code=2)
    rota.run("run", "list", "--failed", "--status", "queued", code=2)
    rota.run("run", "rerun", code=2)
    rota.run("run", "rerun", "some-id", "--failed", code=2)
    rota.run("run", "delete", code=2)


def test_the_log_of_a_run_is_printed_as_lines_or_objects(rota: CommandLine) -> None:
    rota.api.task("logged", handler="talk", input=0)
    run = rota.api.ended(rota.api.run("logged"))["id"]

    assert rota.text("run", "logs", run).endswith(" warning that was all\n")
    assert rota.text("run", "logs", "-f", run) == rota.text("run", "logs", run)
    lines = rota.lines("run", "logs", run, "--json")
    assert lines == rota.lines("run", "logs", "-f", run, "--json")
    assert [line["message"] for line in lines] == ["that was all"]


def test_what_failed_is_previewed_and_run_again(rota: CommandLine) -> None:
    failed(rota, "repeated", 3)
    rota.api.task("repeated", handler="echo", input=1)
    chosen = ("--task", "repeated", "--failed", "--since", "24h")

    preview = rota.json("run", "rerun", *chosen, "--dry-run")
    unasked = rota.run("run", "rerun", *chosen, code=2)
    done = rota.run("run", "rerun", *chosen, "--yes")

    assert preview["runs"] == 3
    assert "3 runs would be run again (3 failed)." in unasked.stderr
    assert done.stdout == "3 run again.\n"
    assert len(rota.api.items("/v1/runs?task=repeated&trigger=rerun")) == 3
    assert rota.json("run", "rerun", "--task", "nobody", "--failed")["runs"] == 0


def test_single_runs_are_run_again_and_cancelled_by_their_ids(rota: CommandLine) -> None:
    first = failed(rota, "single")[0]
    rota.api.task("held", handler="hold")
    running = rota.api.run("held")["id"]

    again = rota.run("run", "rerun", first)
    rota.run("run", "cancel", running)
    refused = rota.run("run", "cancel", first, code=5)

    assert f"The run {first} is run again.\n" in again.stdout
    assert "New run: " in again.stderr
    assert rota.api.ended({"id": running})["status"] == "cancelled"
    assert first in refused.stderr


def test_many_runs_are_cancelled_and_deleted_by_filters(rota: CommandLine) -> None:
    failed(rota, "gone", 2)

    none = rota.run("run", "cancel", "--task", "gone", "--yes", code=1)
    gone = rota.text("run", "delete", "--task", "gone", "--status", "failed", "--yes")

    assert "2 refused." in none.stdout
    operation = none.stderr.split("rota run bulk ")[1].split()[0]
    refused = rota.json("run", "bulk", operation, "--result", "refused")
    assert [each["type"] for each in refused] == ["/problems/wrong-status"] * 2
    assert gone == "2 deleted.\n"
    assert rota.api.items("/v1/runs?task=gone") == []


@pytest.mark.parametrize("arguments", [("task", "list"), ("run", "x", "--wait"), ("events",)])
def test_a_service_that_does_not_answer_has_its_own_code(
    rota: CommandLine, arguments: tuple[str, ...]
) -> None:
    ended = rota.run("--url", "http://127.0.0.1:9", *arguments, code=3)

    assert "No answer from http://127.0.0.1:9" in ended.stderr
    assert "rota serve" in ended.stderr
