"""`rota top` on a real terminal, for a real service."""

import re
import signal
import socket
from collections.abc import Callable

import pytest

from rota.cli.remote.top.live import is_end
from tests.api import handlers
from tests.api.edge.sockets import listening
from tests.api.service import serving
from tests.cli.remote.command import CommandLine
from tests.cli.remote.terminal import Terminal, on_terminal

CTRL_C = "\x03"
TOP = ["top", "--interval", "0.5"]
#: How a program takes the screen of a terminal, and gives it back with its cursor.
TAKEN, GIVEN_BACK, CURSOR = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25h"


def assert_is_as_before(terminal: Terminal) -> None:
    """Fail unless keys are shown again, and the screen and the cursor are those of the shell."""
    assert terminal.modes == terminal.modes_before
    assert terminal.shown.rindex(GIVEN_BACK) > terminal.shown.rindex(TAKEN)
    assert terminal.shown.rindex(CURSOR) > terminal.shown.rindex("\x1b[?25l")
    assert "Traceback" not in terminal.shown


@pytest.mark.parametrize(
    ("keys", "ends"),
    [("q", True), ("Q", True), ("xq", True), ("\x04", True), ("", False), ("x", False)]
    + [(escape, False) for escape in ("\x1bOQ", "\x1b[A", "\x1b")],
)
def test_function_keys_that_send_a_letter_end_nothing(keys: str, ends: bool) -> None:
    assert is_end(keys) is ends


@pytest.mark.parametrize(("keys", "code"), [("q", 0), ("Q", 0), ("x\x04", 0), (CTRL_C, 130)])
def test_a_running_run_is_shown_until_a_key_ends_it(
    rota: CommandLine, environment: dict[str, str], keys: str, code: int
) -> None:
    rota.api.task("watched", handler="hold")
    run = rota.api.run("watched")
    handlers.wait_entered("watched")

    with on_terminal(TOP, environment) as top:
        top.until("watched")
        top.until("ready, 1 replica")
        assert top.modes != top.modes_before
        top.press(keys)
        assert top.ended() == code
        assert_is_as_before(top)

    handlers.open_gate("watched")
    assert rota.api.ended(run)["status"] == "succeeded"
    handlers.close_gate("watched")


def test_what_happens_is_shown_while_it_is_open(
    rota: CommandLine, environment: dict[str, str]
) -> None:
    rota.api.task("happens", handler="refuse")

    with on_terminal(TOP, environment) as top:
        top.until("QUEUES")
        assert "no such customer" not in top.text
        rota.api.ended(rota.api.run("happens"))
        top.until("no such customer")
        top.press("q")
        assert top.ended() == 0


def test_a_terminal_that_gets_another_size_is_drawn_anew(
    rota: CommandLine, environment: dict[str, str]
) -> None:
    with on_terminal([*TOP, "--interval", "3600"], environment, 80, 24) as top:
        top.until("ready, 1 replica")
        assert width_of_a_frame(top.text) == 80
        top.resize(150, 40)
        top.until_true(lambda: width_of_a_frame(top.text) == 150)
        top.press("q")
        assert top.ended() == 0


def width_of_a_frame(text: str) -> int:
    """Return the width of the first line of the screen that was drawn last."""
    return len(re.findall(r"rota top http[^\n]*? \d\d:\d\d:\d\d", text)[-1])


def test_an_outage_is_shown_and_over_once_the_service_is_back(
    environment: dict[str, str], another_database: Callable[[str], str]
) -> None:
    with serving(another_database("sqlite")) as api:
        with listening(api) as served:
            port = served.port
            environment |= {"ROTA_URL": f"http://127.0.0.1:{port}"}
            top = Terminal(TOP, environment, 100, 30)
            top.until("ready, 1 replica")
        try:
            top.until("ago: No answer from")
            api.task("came-back", schedule={"type": "interval", "every": "1h"})
            with listening(api, port):
                top.until("came-back")
                top.press("q")
                assert top.ended() == 0
                assert_is_as_before(top)
        finally:
            top.close()


def test_a_service_that_is_not_there_yet_is_waited_for_and_q_is_heard_meanwhile(
    rota: CommandLine, environment: dict[str, str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it accepts, and never answers
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with on_terminal(["--url", url, *TOP], environment) as top:
            top.until("Asking the service")
            top.press("q")
            assert top.ended() == 0
    with on_terminal(["--url", url, *TOP], environment) as refused:
        refused.until(f"No answer from {url}")
        refused.press(CTRL_C)
        assert refused.ended() == 130
        assert_is_as_before(refused)


def test_a_first_answer_that_does_not_pass_ends_it_with_a_sentence(
    rota: CommandLine, environment: dict[str, str]
) -> None:
    with on_terminal(["--url", f"{rota.url}/nowhere", *TOP], environment) as top:
        assert top.ended() == 4
        assert_is_as_before(top)

    assert top.text.rstrip().splitlines()[-1].strip().startswith("rota: ")


def test_sigterm_leaves_the_terminal_as_it_was(
    rota: CommandLine, environment: dict[str, str]
) -> None:
    with on_terminal(TOP, environment) as top:
        top.until("ready, 1 replica")
        top.signal(signal.SIGTERM)
        assert top.ended() == 128 + signal.SIGTERM
        assert_is_as_before(top)


def test_ctrl_z_gives_the_terminal_back_until_the_shell_continues_it(
    rota: CommandLine, environment: dict[str, str]
) -> None:
    with on_terminal(TOP, environment) as top:
        top.until("ready, 1 replica")
        top.press("\x1a")
        top.until_true(lambda: top.is_stopped)
        top.until_true(lambda: GIVEN_BACK in top.shown)
        assert_is_as_before(top)
        top.signal(signal.SIGCONT)
        top.until_true(lambda: top.shown.count(TAKEN) == 2)
        top.press("q")
        assert top.ended() == 0
        assert_is_as_before(top)


def test_hostile_texts_do_nothing(rota: CommandLine, environment: dict[str, str]) -> None:
    reason = "\x1b]0;owned\x07\x1b[2J [red]x"
    hold = {"selector": {"tags": ["nobody"]}, "reason": reason}
    answer = rota.api.put("/v1/holds/hostile", json=hold)
    assert answer.status_code == 201, answer.text

    with on_terminal(TOP, environment) as top:
        top.until("[red]x")
        top.press("q")
        assert top.ended() == 0

    assert r"\u001b]0;owned\u0007\u001b[2J [red]x" in top.text
    assert "\x1b]0;" not in top.shown
    assert rota.api.delete("/v1/holds/hostile").status_code == 204


def test_no_color_leaves_out_the_colours(rota: CommandLine, environment: dict[str, str]) -> None:
    coloured = re.compile(r"\x1b\[[0-9;]*3[0-7]m")
    for more, has_colours in (({}, True), ({"NO_COLOR": "1"}, False)):
        with on_terminal(TOP, environment | more) as top:
            top.until("ready, 1 replica")
            top.press("q")
            assert top.ended() == 0
        assert bool(coloured.search(top.shown)) is has_colours


def test_once_and_a_terminal_that_cannot_draw_get_one_screen(
    rota: CommandLine, environment: dict[str, str]
) -> None:
    for arguments, more in ((["top", "--once"], {}), (["top"], {"TERM": "dumb"})):
        with on_terminal(arguments, environment | more, 60, 9) as top:
            assert top.ended() == 0
        assert "ready, 1 replica" in top.text
        assert TAKEN not in top.shown
        assert 3 < len(top.text.rstrip("\n").split("\n")) <= 8
