"""What a reader's shell finds: `rota` and the programs of the environment, and the folder that it works in."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.docs.forks import PROGRAM

ROOT = Path(__file__).parents[2]


@contextmanager
def fast_rota(folder: Path) -> Iterator[Path]:
    """Make a folder with the program `rota`, which runs as forks of one process."""
    folder.mkdir()
    path = str(folder / "s")
    with subprocess.Popen(
        [sys.executable, "-P", Path(__file__).with_name("forks.py"), path],
        env=_kept() | {"PYTHONPATH": str(ROOT / "app")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == b"ready\n"
            program = folder / "rota"
            program.write_text(PROGRAM.format(python=sys.executable, path=path))
            program.chmod(0o700)
            yield folder
        finally:
            os.killpg(server.pid, signal.SIGKILL)


def readers_environment(home: Path, programs: Path, ports: dict[str, str]) -> dict[str, str]:
    """Return the environment of a reader who has just installed Rota."""
    own = Path(sys.executable).parent
    return _kept() | {
        "PATH": f"{programs}:{own}:{os.environ['PATH']}",
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "ROTA_PORT": ports["8000"],
        "ROTA_URL": f"http://127.0.0.1:{ports['8000']}",
        "PYTHONPATH": str(ROOT / "app"),
        "COLUMNS": "120",
        "LC_ALL": "C.UTF-8",
    }


def link_clone(folder: Path) -> None:
    """Make a folder look like a clone of the repository in which `make run` has made the environment."""
    for name in ("deploy", "docs", "examples"):
        (folder / name).symlink_to(ROOT / name)
    (folder / ".venv").symlink_to(sys.prefix)


def missing(names: set[str]) -> set[str]:
    """Return those programs that this machine does not have."""
    return {name for name in names if shutil.which(name) is None}


def _kept() -> dict[str, str]:
    ours = ("ROTA_", "PYTEST_", "XDG_", "COV_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}
