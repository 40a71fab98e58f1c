import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rota.domain.runs.outcomes import Succeeded
from rota.handlers.calls import capture
from rota.handlers.calls.journal import AttemptJournal
from tests.handlers.bench import CLOCK, Bench


@contextmanager
def captured() -> Iterator[None]:
    """Not a fixture: pytest changes the streams itself between a fixture and its test."""
    capture.install()
    try:
        yield
    finally:
        capture.uninstall()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "talks",
            [
                ("stdout", "out and out"),
                ("stderr", "err"),
                ("warning", "logged"),
                ("error", "record 1"),
                ("stdout", "from a thread"),
                ("stdout", "unfinished"),
            ],
        ),
        (
            "talks-process",
            [
                ("stdout", "out and out"),
                ("stdout", "from C"),
                ("stdout", "from a program"),
                ("stdout", "unfinished"),
                ("stderr", "err"),
                ("warning", "logged"),
                ("error", "record 1"),
            ],
        ),
    ],
)
def test_what_a_handler_prints_and_logs_is_in_its_journal(
    bench: Bench, capsys: pytest.CaptureFixture[str], name: str, expected: list[tuple[str, str]]
) -> None:
    with captured():
        running = bench.begin(name)
        assert running.outcome() == Succeeded("null", (), 5)

    lines, progress = running.call.journal.take()
    logged = [(line.level, line.message) for line in lines]
    assert sorted(logged) == sorted(expected)
    # Streams of a child come through pipes of their own: order holds within each.
    for level in ("stdout", "stderr"):
        assert [each for each in logged if each[0] == level] == [
            e for e in expected if e[0] == level
        ]
    assert progress is not None
    assert (progress.fraction, progress.message) == (0.25, "a quarter")
    assert capsys.readouterr() == ("", "")


def test_what_a_handler_logs_is_not_in_the_service_s_own_log(bench: Bench) -> None:
    received: list[str] = []
    own = logging.Handler()
    own.emit = lambda record: received.append(record.getMessage())  # type: ignore[method-assign]
    root = logging.getLogger()
    root.addHandler(own)
    try:
        with captured():
            running = bench.begin("talks")
            running.outcome()
            logging.getLogger("app").warning("the service's")
        logging.getLogger("app").warning("and after that")
    finally:
        root.removeHandler(own)

    assert "logged" in [line.message for line in running.lines()]
    assert received == ["the service's", "and after that"]


def test_handlers_that_print_at_the_same_time_have_separate_journals(bench: Bench) -> None:
    inputs = [f'"{number}"' for number in range(50)]
    with captured():
        runnings = [bench.begin("prints", given) for given in inputs]
        for running in runnings:
            running.outcome()

    for given, running in zip(inputs, runnings, strict=True):
        assert [line.message for line in running.lines()] == [given[1:-1]] * 2


def test_a_megabyte_of_prints_is_bounded(bench: Bench) -> None:
    with captured():
        running = bench.begin("prints-a-megabyte")
        assert running.outcome() == Succeeded("null", (), 5)

    lines = running.lines()
    assert sum(len(line.message) for line in lines) < 66_000
    assert lines[-1].message == "… the rest was cut at 65536 bytes"


def test_what_others_print_goes_to_the_real_stream(capsys: pytest.CaptureFixture[str]) -> None:
    with captured():
        print("hello")  # noqa: T201
        sys.stderr.writelines(["a\n", "b\n"])
        sys.stdout.flush()
        assert sys.stdout.isatty() is False

    assert capsys.readouterr() == ("hello\n", "a\nb\n")


def test_installing_twice_and_uninstalling_restores_the_streams() -> None:
    root = logging.getLogger()
    real = sys.stdout

    with captured():
        stream = sys.stdout
        capture.install()
        assert sys.stdout is stream
        assert sum(isinstance(one, capture.JournalHandler) for one in root.handlers) == 1
    capture.uninstall()

    assert sys.stdout is real
    assert not any(isinstance(one, capture.JournalHandler) for one in root.handlers)


def test_a_record_with_wrong_arguments_is_kept_without_them() -> None:
    journal = AttemptJournal(1_000, CLOCK)
    record = logging.LogRecord("shop", logging.INFO, "", 1, "%d pieces", ("no",), None)

    capture.JournalHandler(journal).emit(record)

    assert [(line.level, line.message) for line in journal.take()[0]] == [
        ("info", "%d pieces (its arguments do not fit)")
    ]


def test_other_than_text_cannot_be_printed(bench: Bench) -> None:
    with captured():
        assert "must be str, not bytes" in repr(bench.run("writes-bytes"))


@pytest.mark.parametrize("name", ["prints-in-a-hook", "prints-in-a-hook-sync"])
def test_what_a_stop_hook_prints_is_the_attempts(bench: Bench, name: str) -> None:
    with captured():
        running = bench.begin(name)
        assert bench.module("waits").started.wait(20)
        bench.cancel(running)
        running.outcome()

    assert [(line.level, line.message) for line in running.lines()] == [
        ("stdout", "hook: cancelled")
    ]
