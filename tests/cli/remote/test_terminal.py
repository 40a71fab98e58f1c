"""What a person sees: colours, questions, logs while they are written, Ctrl-C; and what a pipe gets."""

import json
import subprocess

from tests.acceptance.launching import ROTA
from tests.api import handlers
from tests.cli.remote.command import CommandLine
from tests.cli.remote.terminal import on_terminal
from tests.support.factories import eventually

CTRL_C = "\x03"


def test_a_terminal_gets_a_table_with_colours_and_deletes_after_a_question(
    rota: CommandLine, environment: dict[str, str]
) -> None:
    rota.api.task("coloured", tags=["t"])

    with on_terminal(["task", "list"], environment) as listed:
        assert listed.ended() == 0
    with on_terminal(["task", "delete", "coloured"], environment) as deleting:
        deleting.until("Delete the task coloured, with runs and kv? [y/N]: ")
        assert rota.api.names("tag=t") == ["coloured"]
        deleting.press("y\n")
        deleting.until("The task coloured is deleted.")
        assert deleting.ended() == 0

    assert "\x1b[32mactive" in listed.shown
    assert listed.text.startswith("NAME ")
    assert rota.api.names("tag=t") == []


def test_ctrl_c_while_waiting_ends_the_command_and_not_the_run(
    rota: CommandLine, environment: dict[str, str]
) -> None:
    rota.api.task("gated", handler="hold")

    with on_terminal(["run", "gated", "--wait"], environment) as waiting:
        run = waiting.until(" of gated").split("Run ")[1].split()[0]
        handlers.wait_entered("gated")
        waiting.press(CTRL_C)
        shown = waiting.until("The run goes on.")
        code = waiting.ended()
    handlers.open_gate("gated")

    assert code == 130
    assert f"rota run cancel {run}" in shown
    assert "Traceback" not in shown
    assert rota.api.ended({"id": run})["status"] == "succeeded"


def test_events_and_logs_are_shown_while_they_come(
    rota: CommandLine, environment: dict[str, str]
) -> None:
    rota.api.task("talking", handler="talk", input=2)

    with on_terminal(["events", "-f", "--task", "talking"], environment) as events:
        streams = rota.api.app.state.services.streams
        eventually(lambda: streams._open > 0, "the command does not listen", 30)
        with on_terminal(["run", "talking", "--wait"], environment) as waiting:
            log = waiting.until("talking has ended: succeeded")
            assert waiting.ended() == 0
        events.until("run.succeeded   talking  run=")
        events.press(CTRL_C)
        assert events.ended() == 130

    assert [line.split(maxsplit=1)[1] for line in log.splitlines()[1:-1]] == [
        "stdout  line 1",
        "stdout  line 2",
        "warning that was all",
    ]


def test_a_pipe_gets_whole_cells_without_colours_and_may_be_closed(
    rota: CommandLine, environment: dict[str, str]
) -> None:
    name = "n" * 120
    rota.api.task(name, tags=["piped"])
    command = f"'{ROTA}' task list --tag piped | cat; '{ROTA}' task export -l tag=piped | head -c 1"

    ended = subprocess.run(
        ["/bin/sh", "-c", command], env=environment, capture_output=True, text=True, check=True
    )

    lines = ended.stdout.splitlines()
    assert lines[1].startswith(f"{name}  active  manual")
    assert "\x1b" not in ended.stdout
    assert "Traceback" not in ended.stderr
    assert lines[2] == "{"
    assert json.loads(rota.text("task", "export", "-l", "tag=piped"))["name"] == name
