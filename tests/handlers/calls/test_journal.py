from datetime import UTC, datetime

import pytest

from rota import Log
from rota.clock import FakeClock
from rota.domain.runs.model import Progress
from rota.domain.runs.outcomes import Succeeded
from rota.handlers.calls.journal import AttemptJournal
from tests.handlers.bench import Bench

NOW = datetime(2026, 11, 25, 8, tzinfo=UTC)


def journal(limit: int = 1_000) -> AttemptJournal:
    return AttemptJournal(limit, FakeClock(NOW))


def messages(of: AttemptJournal) -> list[str]:
    return [line.message for line in of.take()[0]]


def test_lines_are_numbered_from_one_and_taken_once() -> None:
    one = journal()
    one.line("info", "a")
    one.line("error", "b")

    first, _ = one.take()
    one.line("info", "c")
    second, _ = one.take()

    assert [(line.line, line.level, line.message) for line in first] == [
        (1, "info", "a"),
        (2, "error", "b"),
    ]
    assert [(line.line, line.at) for line in second] == [(3, NOW)]
    assert one.take() == ([], None)


def test_text_over_the_limit_is_cut_and_the_last_line_reports_it() -> None:
    one = journal(100)
    one.line("info", "a" * 50)
    one.line("info", "b" * 50)
    one.line("info", "c")

    assert messages(one) == ["a" * 50, "b" * 18, "… the rest was cut at 100 bytes"]
    assert one.dropped == 33


def test_a_limit_that_is_just_reached_cuts_nothing() -> None:
    one = journal(100)
    one.line("info", "a" * 84)

    assert messages(one) == ["a" * 84]


def test_characters_are_not_cut_in_half() -> None:
    one = journal(25)
    one.line("info", "ä" * 20)

    assert messages(one) == ["ä" * 4, "… the rest was cut at 25 bytes"]


def test_a_million_empty_lines_are_bounded() -> None:
    one = journal()
    one.write("stdout", "\n" * 1_000_000)

    assert len(messages(one)) < 100


def test_a_megabyte_without_an_end_of_line_is_bounded() -> None:
    one = journal()
    for _ in range(1_000):
        one.write("stdout", "x" * 1_000)
    one.flush()

    assert [len(message) for message in messages(one)] == [984, 32]


def test_a_limit_of_zero_keeps_nothing() -> None:
    one = journal(0)
    one.line("info", "a")
    one.write("stdout", "b\n")

    assert one.take() == ([], None)


def test_printed_text_becomes_whole_lines_for_each_stream() -> None:
    one = journal()
    one.write("stdout", "a")
    one.write("stderr", "err\n")
    one.write("stdout", "b\nc\n\nd")
    one.flush()

    assert messages(one) == ["err", "ab", "c", "", "d"]


def test_text_that_databases_refuse_is_escaped() -> None:
    one = journal()
    one.line("info", "a\x00b\ud800")
    one.progress(0.5, "a\x00b")

    lines, progress = one.take()
    assert lines[0].message == "a\\x00b\\ud800"
    assert progress == Progress(0.5, "a\\x00b")


def test_progress_is_the_latest_and_brought_into_range() -> None:
    one = journal()
    one.progress(0.5, None)
    one.progress(7, "done")
    assert one.take() == ([], Progress(1.0, "done"))

    one.progress(-1, None)
    assert one.take() == ([], Progress(0.0, None))

    one.progress(float("nan"), "?")
    assert one.take() == ([], Progress(None, "?"))


@pytest.mark.parametrize("kind", ["", "-sync", "-process", "-process-async"])
def test_fields_of_any_name_follow_the_message(bench: Bench, kind: str) -> None:
    running = bench.begin(f"logs-fields{kind}")
    assert running.outcome() == Succeeded("null", (), 5)

    *lines, caught = running.lines()
    assert [(line.level, line.message) for line in lines] == [
        ("debug", 'searched id=3 feed="World news" found=null took=1.5'),
        ("info", 'any name event=1 level=high message="a=b" msg="" self=true fields=[1,"é"]'),
        ("warning", '2 of three "a b"=2026-03-01T00:00:00Z'),
        (
            "error",
            "odd bytes=b'\\xff' clumsy=Clumsy() nan=NaN box={\"sizes\":[1,2]}",
        ),
    ]
    first, *traceback, last = caught.message.splitlines()
    assert (caught.level, first, last) == (
        "error",
        "caught id=4",
        "ValueError: invalid literal for int() with base 10: 'broken'",
    )
    assert any("say_with_fields" in line for line in traceback)


def test_logging_never_raises() -> None:
    one = journal()
    ring: list[object] = []
    ring.append(ring)

    log = Log(one)
    log.info("100%")
    log.info("%d pieces", "no")
    log.info(Unspeakable())
    log.info("ring", of=ring)
    log.exception("nothing is raised")  # noqa: LOG004  # what comes of it is the question

    assert messages(one) == [
        "100%",
        "%d pieces (its arguments do not fit)",
        "(a message that cannot be shown: RuntimeError)",
        "ring of=[[...]]",
        "nothing is raised",
    ]


class Unspeakable:
    def __str__(self) -> str:
        raise RuntimeError("no text")
