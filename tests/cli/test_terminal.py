"""What commands print on a real terminal, and in a pipe."""

import json
import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import pytest
from rich.text import Text
from typer.testing import CliRunner

from rota.cli import app
from rota.cli.contexts import Contexts, Server, change_contexts
from rota.cli.escaping import printable
from rota.cli.exits import CommandFailed
from rota.cli.output import note, print_json, print_json_line
from rota.cli.registry import run_and_exit
from rota.cli.remote.text.lines import print_lines

#: A table with what an attacker may have named a task, a bar, and fields.
PROGRAM = """
from rota.cli.output import print_fields, print_table, progress
with progress("Copying", 3) as bar:
    for _ in range(3):
        bar(1)
        bar._shown.refresh()
print_table(("name", "status"), [("a [red]b\\x1b[2J", "failed"), ("c", None), ("d" * 70, "succeeded")])
print_fields({"name": "x", "status": "failed"})
"""


def on_terminal(*command: str, **variables: str) -> str:
    """Run a program on a pseudo-terminal; return what it prints, on both outputs."""
    master, slave = pty.openpty()
    environment = {
        "TERM": "xterm-256color",
        "COLUMNS": "60",
        "PATH": os.environ["PATH"],
        **variables,
    }
    try:
        with subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environment, close_fds=True
        ) as process:
            os.close(slave)
            printed = _all_of(master)
        assert process.returncode == 0, printed
        return printed
    finally:
        os.close(master)


def _all_of(master: int) -> str:
    found = b""
    while select.select([master], [], [], 60)[0]:
        try:
            found += os.read(master, 65_536)
        except OSError:  # the other end is closed
            break
    return found.decode()


def test_a_terminal_gets_colours_a_bar_and_no_control_characters_of_others() -> None:
    printed = on_terminal(sys.executable, "-c", PROGRAM)

    assert "\x1b[31mfailed" in printed  # red
    assert "\x1b[1mNAME" in printed  # bold
    assert "Copying" in printed
    assert "━" in printed
    assert "3/3" in printed
    assert "a [red]b\\u001b[2J" in printed
    assert "\x1b[2J" not in printed
    assert "d" * 70 not in printed  # folded: the terminal has 60 columns


def test_a_terminal_without_colours_gets_none() -> None:
    printed = on_terminal(sys.executable, "-c", PROGRAM, NO_COLOR="1")

    assert "\x1b[31m" not in printed
    assert "failed" in printed


def test_a_pipe_gets_plain_text_with_cells_as_a_whole() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )

    assert "\x1b" not in ended.stdout + ended.stderr
    assert ended.stderr == ""
    lines = ended.stdout.splitlines()
    assert lines[0].split() == ["NAME", "STATUS"]
    assert lines[2].split() == ["c", "-"]
    assert lines[3].split() == ["d" * 70, "succeeded"]
    assert lines[-1] == "status  failed"


def test_the_program_itself_prints_a_table_on_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    shop = Server("https://shop.example.com", "k", "shop")
    change_contexts(lambda _: Contexts({"shop": shop}, "shop"))
    program = str(Path(sys.executable).with_name("rota"))

    printed = on_terminal(program, "context", "list", XDG_CONFIG_HOME=str(tmp_path))

    assert "\x1b[1m" in printed
    assert "https://shop.example.com" in printed


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("rota ser", {"serve"}),
        ("rota db ", {"upgrade", "reseal", "backup", "check"}),
        ("rota serve --pa", {"--paused"}),
        ("rota --context ", {"shop", "crm"}),
        ("rota context use s", {"shop"}),
    ],
)
def test_a_shell_is_offered_commands_options_and_contexts(
    typed: str, offered: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    change_contexts(
        lambda _: Contexts({name: Server("http://x", None, name) for name in ("shop", "crm")})
    )
    words = typed.split(" ")
    environment = {
        "_ROTA_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(words) - 1),
    }

    ended = CliRunner().invoke(app, [], env=environment)

    assert set(ended.stdout.split()) == offered


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mb", "a\\u001b[31mb"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\x9b2J", "\\u009b2J"),
        ("abc\u202ecba", "abc\\u202ecba"),
        ("é 😀 漢", "é 😀 漢"),
    ],
)
def test_what_does_not_show_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable("a\nb\t\x1b", lines=True) == "a\nb\t\\u001b"


def test_errors_and_notes_show_no_control_characters_of_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse() -> None:
        note("a\x1b]0;title\x07")
        print_lines([Text("b\x1b[2J\nc", style="red")])
        raise CommandFailed("no \x9b2J task\nsecond line")

    with pytest.raises(SystemExit):
        run_and_exit(refuse)

    printed = capsys.readouterr()
    assert printed.err == "a\\u001b]0;title\\u0007\nrota: no \\u009b2J task\nsecond line\n"
    assert printed.out == "b\\u001b[2J\nc\n"


def test_json_is_complete_and_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"a": "\x9b2J\x7f \u202e \U000e0001 \ud800 \u00e9"}

    print_json(value)
    print_json_line(value)

    printed = capsys.readouterr().out
    assert not {"\x9b", "\x7f", "\u202e", "\U000e0001", "\ud800"} & set(printed)
    assert "\u00e9" in printed
    first, _, last = printed.rpartition("}\n{")
    assert [json.loads(f"{first}}}"), json.loads(f"{{{last}")] == [value, value]


def test_characters_beyond_the_first_plane_are_shown_as_python_writes_them() -> None:
    assert printable("\U000e0001") == "\\U000e0001"
