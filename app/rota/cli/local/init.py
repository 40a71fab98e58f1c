"""`rota init`: a project to begin with."""

import re
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from rota.cli.exits import CommandFailed, ExitCode

#: What is written.
FILES = ("handlers.py", "tasks.yaml", "test_handlers.py")
_TEMPLATES = files(__package__) / "new_project"


def init(
    folder: Annotated[
        Path, typer.Argument(help="A folder that is new or empty.", show_default="this folder")
    ] = Path(),
) -> None:
    """Write a handler, a task and a test in a new or empty folder. Overwrites nothing."""
    _check_empty(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            _write(folder / name, _content(name, _owner(folder)))
    except OSError as error:
        raise CommandFailed(f"{error.filename} cannot be written: {error.strerror}.") from None
    typer.echo(_next_steps(folder))


def _check_empty(folder: Path) -> None:
    """Raise CommandFailed if there is something in a folder besides hidden files, such as those of git."""
    if folder.exists() and not folder.is_dir():
        raise CommandFailed(f"{folder} is a file; give a folder.", ExitCode.CONFLICT)
    there = sorted(each.name for each in folder.glob("[!.]*")) if folder.is_dir() else []
    if there:
        raise CommandFailed(
            f"The folder {folder.absolute()} is not empty ({', '.join(there[:3])}{', …' if there[3:] else ''}). "
            "Give a new one: rota init jobs",
            ExitCode.CONFLICT,
        )


def _write(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8") as file:  # "x": never over a file
        file.write(text)


def _content(name: str, owner: str) -> str:
    return (_TEMPLATES / f"{name}.txt").read_text(encoding="utf-8").replace("{owner}", owner)


def _owner(folder: Path) -> str:
    """Return a name for the owner of the tasks, from that of the folder."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", folder.absolute().name).strip("-_")
    return name.lower() or "jobs"


def _next_steps(folder: Path) -> str:
    steps = [] if folder == Path() else [(f"cd {folder}", "")]
    steps += [
        ("rota dev", "serves, and loads the handlers again when they change"),
        ("rota apply -f tasks.yaml", "registers the task, in another terminal"),
        ("python -m pytest", "runs the test (pip install pytest)"),
    ]
    width = max(len(command) for command, _ in steps)
    lines = [f"  {command.ljust(width)}  {purpose}".rstrip() for command, purpose in steps]
    return "\n".join([f"Written: {', '.join(FILES)}. Next:", "", *lines])
