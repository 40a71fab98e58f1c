"""`rota import …`: the file that is written, what is said beside it, and the exit code."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
import typer
import yaml
from typer.testing import CliRunner, Result

from rota.api.tasks.request_models import TaskIn
from rota.cli import app, registry

GOOD = "0 9 * * 1-5 /bin/echo hello\n"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def rota(*arguments: str, **options: str) -> Result:
    return CliRunner().invoke(app, ["import", *arguments], **options)  # type: ignore[arg-type]


def test_a_crontab_from_a_pipe_becomes_a_file_of_tasks_that_the_api_accepts(tmp_path: Path) -> None:
    ended = rota("crontab", "-", "--tz", "Europe/Berlin", input=GOOD)

    assert ended.exit_code == 0, ended.output
    assert "1 task in tasks.yaml; 0 left out." in ended.stderr
    document = yaml.safe_load((tmp_path / "tasks.yaml").read_text())
    assert document["owner"] == "crontab"
    assert [TaskIn.model_validate(each).name for each in document["tasks"]] == ["echo"]


def test_the_handler_that_is_written_runs_the_commands(tmp_path: Path) -> None:
    rota("crontab", "-", input=GOOD)
    program = (
        "from rota.testing import Driver\nfrom shell_handler import shell\n"
        "driver = Driver(now='2027-01-01T00:00:00Z')\ndriver.register('a', handler=shell, input={'command': ':'})\n"
        "driver.run('a', input={'command': 'cat; echo $A', 'stdin': 'x', 'env': {'A': 'y'}}, check=True)\n"
        "assert driver.run('a', input={'command': 'exit 3'}).error.message.endswith('ended with 3')"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "xy\n"


def test_what_is_left_out_is_reported_with_its_line_and_makes_the_exit_code_1(
    tmp_path: Path,
) -> None:
    (tmp_path / "tab").write_text(f"{GOOD}@reboot \x1b[31m/bin/a\n")

    ended = rota("crontab", "tab")

    assert ended.exit_code == 1
    assert "tab:2: @reboot \\u001b[31m/bin/a\n    @reboot is no time" in ended.stderr
    assert (tmp_path / "tasks.yaml").exists()


def test_a_file_that_is_there_is_kept(tmp_path: Path) -> None:
    (tmp_path / "tasks.yaml").write_text("mine")

    assert rota("crontab", "-", input=GOOD).exit_code == 5
    assert (tmp_path / "tasks.yaml").read_text() == "mine"
    assert rota("crontab", "-", "--overwrite", input=GOOD).exit_code == 0


def test_json_has_tasks_and_problems_and_writes_nothing(tmp_path: Path) -> None:
    ended = rota("crontab", "-", "--json", input=f"{GOOD}@reboot x\n")

    document = json.loads(ended.stdout)
    assert ended.exit_code == 1
    assert [each["name"] for each in document["tasks"]] == ["echo"]
    assert [each["line"] for each in document["problems"]] == [2]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("crontab", "nope"), 4, "nope cannot be read"),
        (("crontab", "-", "--tz", "Mars/Base"), 2, "--tz: "),
        (("celery-beat", "-"), 2, "the standard input has no `beat_schedule"),
        (("crontab", "-", "--apply", "--json"), 2, "--apply registers what is in a file"),
    ],
)
def test_wrong_use_is_a_sentence(arguments: tuple[str, ...], code: int, words: str) -> None:
    ended = rota(*arguments, input="")

    assert ended.exit_code == code
    assert words in ended.stderr


@pytest.mark.parametrize(
    "text", ["on", "10:00", "1e5", "2027-01-01", "null", "é\n", "0x1f", "~", "a: b"]
)
def test_texts_are_read_from_the_file_as_they_were(tmp_path: Path, text: str) -> None:
    entries = {"a": {"task": "t", "schedule": 5, "args": [text]}}

    rota("celery-beat", "-", input=json.dumps(entries))

    (task,) = yaml.safe_load((tmp_path / "tasks.yaml").read_text())["tasks"]
    assert task["input"]["args"] == [text]


def apply(file: Annotated[str, typer.Option("-f")]) -> None:
    """Stand in for the command that registers tasks."""
    typer.echo(f"applied {file}: {Path(file).read_text().count('handler:')}")


def test_apply_registers_what_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = registry.Entry("apply", __name__, "apply", "", "")
    monkeypatch.setitem(registry._BY_NAME, "apply", stand_in)

    ended = rota("crontab", "-", "-o", "mine.yaml", "--apply", input=GOOD)

    assert ended.exit_code == 0, ended.output
    assert ended.stdout == "applied mine.yaml: 1\n"
