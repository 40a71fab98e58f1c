"""What all commands share: help, errors as sentences, exit codes, and imports that come late."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from rota.cli import app
from rota.cli.exits import CommandFailed, ExitCode, failure_of
from rota.cli.registry import COMMANDS
from rota.errors import Conflict, NotFound, PreconditionFailed, Unavailable

#: What `rota --help` must not wait for.
HEAVY = (
    "fastapi",
    "sqlalchemy",
    "uvicorn",
    "pydantic",
    "httpx",
    "structlog",
    "rota.settings",
    "rota.sdk",
)


def command_line() -> Any:
    loaded: Any = get_command(app)
    loaded.load_all()
    return loaded


@pytest.mark.parametrize("entry", COMMANDS, ids=lambda entry: entry.name)
def test_the_list_of_commands_says_what_the_command_says(entry: Any) -> None:
    assert command_line().commands[entry.name].help.split("\n")[0] == entry.help


def test_help_and_version_import_nothing_heavy() -> None:
    program = (
        "import sys\nfrom rota.cli import app\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
        "print('modules', *sys.modules)"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    modules = set(ended.stdout.splitlines()[-1].split())
    assert "serve" in ended.stdout
    assert modules & set(HEAVY) == set()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["serv"],
            "rota: No such command 'serv'. Did you mean 'serve', 'secret'? See: rota --help\n",
        ),
        (["serve", "--prot", "1"], "See: rota serve --help\n"),
        (["context", "use"], "rota: Missing argument 'name'. See: rota context use --help\n"),
    ],
)
def test_wrong_use_is_one_sentence_that_names_the_help(arguments: list[str], words: str) -> None:
    ended = CliRunner().invoke(app, arguments)

    assert ended.exit_code == 2
    assert words in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert ended.stdout == ""


@pytest.mark.parametrize("arguments", [[], ["db"], ["context"]])
def test_nothing_prints_the_help(arguments: list[str]) -> None:
    ended = CliRunner().invoke(app, arguments)

    assert ended.exit_code == 2
    assert "Usage: " in ended.stdout


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFound("x"), 4),
        (Conflict("x"), 5),
        (PreconditionFailed("x"), 5),
        (Unavailable("x"), 2),
        (CommandFailed("x", ExitCode.UNREACHABLE), 3),
    ],
)
def test_an_error_has_the_exit_code_of_its_kind(error: Exception, code: int) -> None:
    failure = failure_of(error)

    assert failure is not None
    assert (failure.sentence, failure.code) == ("x", code)


def test_a_mistake_of_the_program_is_no_sentence() -> None:
    assert failure_of(KeyError("x")) is None


@pytest.mark.parametrize(
    "options",
    [
        ["--url", "http://me:secret@127.0.0.1:1"],
        ["--url", "http://127.0.0.1:1/?a=b"],
        ["--url", "http://127.0.0.1:99999"],
        ["--key", "schlüssel\x1b"],
    ],
)
def test_an_address_or_a_key_that_cannot_be_used_is_refused_with_a_sentence(
    options: list[str],
) -> None:
    ended = CliRunner().invoke(app, [*options, "task", "list"])

    assert ended.exit_code == 2, ended.exception
    assert ended.stderr.startswith("rota: ")
    assert "secret" not in ended.stderr


def _paths(command: Any, *path: str) -> Iterator[tuple[str, ...]]:
    yield path
    for name, each in getattr(command, "commands", {}).items():
        yield from _paths(each, *path, name)


@pytest.mark.parametrize("path", list(_paths(command_line())), ids=" ".join)
def test_help_shows_no_type_for_a_switch(path: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(app, [*path, "--help"]).stdout

    assert "--help" in shown
    assert "bool" not in shown
