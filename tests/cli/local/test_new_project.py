"""`rota init` writes what works, and `rota dev` starts it again when it changes."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from rota.api.tasks.request_models import TaskIn
from rota.cli import app
from rota.cli.local import dev
from rota.cli.local.dev import Followed, follow
from rota.cli.local.init import FILES
from rota.cli.local.serving.watched_files import changed, stamps
from tests.support.factories import eventually


def test_init_writes_a_test_that_passes(tmp_path: Path) -> None:
    folder = tmp_path / "My shop"

    ended = CliRunner().invoke(app, ["init", str(folder)])

    assert ended.exit_code == 0, ended.output
    assert sorted(each.name for each in folder.iterdir()) == sorted(FILES)
    for command in ("rota dev", "rota apply -f tasks.yaml", "python -m pytest"):
        assert command in ended.stdout
    call = "import test_handlers; test_handlers.test_greet_counts_its_runs()"
    subprocess.run([sys.executable, "-c", call], cwd=folder, check=True, capture_output=True)


def test_init_writes_tasks_that_the_api_accepts(tmp_path: Path) -> None:
    CliRunner().invoke(app, ["init", str(tmp_path / "My shop")])

    document = yaml.safe_load((tmp_path / "My shop" / "tasks.yaml").read_text())

    assert document["owner"] == "my-shop"
    (task,) = document["tasks"]
    assert TaskIn.model_validate(task).name == "greet"


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "mine.py").write_text("kept")

    ended = CliRunner().invoke(app, ["init", str(tmp_path)])

    assert ended.exit_code == 5
    assert "is not empty (mine.py). Give a new one: rota init jobs" in ended.stderr
    assert sorted(each.name for each in tmp_path.iterdir()) == [".git", "mine.py"]


def test_init_takes_a_folder_with_hidden_files_only(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()

    assert CliRunner().invoke(app, ["init", str(tmp_path)]).exit_code == 0


def test_init_refuses_a_file(tmp_path: Path) -> None:
    (tmp_path / "x").touch()

    assert CliRunner().invoke(app, ["init", str(tmp_path / "x")]).exit_code == 5


# -------------------------------------------------------------------------------------------------------- dev
PROGRAM = """
import pathlib, signal, sys
log = pathlib.Path(sys.argv[1])
def stop(*_):
    with log.open("a") as file:
        file.write("stopped\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
with log.open("a") as file:
    file.write("started\\n")
if pathlib.Path("broken.py").exists():
    sys.exit(2)
signal.pause()
"""


@contextmanager
def followed(folder: Path, log: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Follow a small program while something is done; its log has its starts and stops."""
    monkeypatch.setattr(dev, "_PERIOD", 0.02)
    monkeypatch.chdir(folder)
    program = Followed((sys.executable, "-c", PROGRAM, str(log)), os.environ, [folder])
    stop = threading.Event()
    thread = threading.Thread(target=follow, args=(program, stop))
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()


def test_a_change_stops_the_service_and_starts_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    handlers, log = tmp_path / "handlers.py", tmp_path / "log"
    handlers.write_text("first")
    with followed(tmp_path, log, monkeypatch):
        eventually(lambda: log.exists() and log.read_text() == "started\n", "it does not start")
        handlers.write_text("the second one")
        eventually(lambda: log.read_text().count("started") == 2, "it does not start again")

    assert log.read_text().split() == ["started", "stopped", "started", "stopped"]
    assert "handlers.py has changed: the service starts again." in capsys.readouterr().err


def test_what_cannot_start_waits_for_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    broken, log = tmp_path / "broken.py", tmp_path / "log"
    broken.touch()
    with followed(tmp_path, log, monkeypatch):
        eventually(lambda: "It starts again when a file changes" in capfd.readouterr().err, "")
        broken.unlink()
        eventually(lambda: log.read_text().count("started") == 2, "it does not start again")


def test_a_service_ends_with_the_program_that_has_started_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = (
        f"from rota.cli.local.serving.parent import end_with_parent; end_with_parent()\n{PROGRAM}"
    )
    parent = (
        "import os, sys, threading, pathlib\n"
        "from rota.cli.local.dev import Followed, follow\n"
        f"command = (sys.executable, '-c', {child!r}, {str(log)!r})\n"
        f"follow(Followed(command, os.environ, [pathlib.Path({str(tmp_path)!r})]), threading.Event())\n"
    )
    with subprocess.Popen([sys.executable, "-c", parent]) as process:
        eventually(lambda: log.exists() and log.read_text(), "it does not start")
        process.kill()

    eventually(lambda: log.read_text() == "started\nstopped\n", "it goes on")


def test_a_service_that_does_not_end_is_killed_when_that_is_asked_for_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dev, "_PERIOD", 0.02)
    log = tmp_path / "log"
    stubborn = (
        "import pathlib, signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: None)\n"
        "pathlib.Path(sys.argv[1]).touch()\n"
        "while True: signal.pause()\n"
    )
    program = Followed((sys.executable, "-c", stubborn, str(log)), os.environ, [tmp_path])
    stop, hurry = threading.Event(), threading.Event()
    thread = threading.Thread(target=follow, args=(program, stop, hurry), daemon=True)
    thread.start()
    eventually(log.exists, "it does not start")
    stop.set()
    hurry.set()
    thread.join(30)

    assert not thread.is_alive()


def test_only_python_files_of_the_project_are_watched(tmp_path: Path) -> None:
    for name in ("a.py", "b.txt", ".venv/c.py", "node_modules/d.py", "inner/e.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()

    before = stamps([tmp_path])
    (tmp_path / "a.py").unlink()
    (tmp_path / "inner" / "f.py").touch()

    assert changed({}, before) == [f"{tmp_path}/a.py", f"{tmp_path}/inner/e.py"]
    assert changed(before, stamps([tmp_path])) == [f"{tmp_path}/a.py", f"{tmp_path}/inner/f.py"]


def test_dev_without_handlers_says_how_to_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ROTA_HANDLERS", raising=False)

    ended = CliRunner().invoke(app, ["dev"])

    assert ended.exit_code == 2
    assert "rota init jobs" in ended.stderr
