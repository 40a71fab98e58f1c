"""What the sections of the screen say of what a service has answered."""

from datetime import timedelta

import pytest

from rota.cli.remote.top.drawing import draw
from rota.cli.remote.top.other_sections import attention, queues, upcoming
from rota.cli.remote.top.run_sections import failed, running, waiting
from rota.cli.remote.top.section import Section, cell
from tests.cli.remote.top.documents import NOW, agenda, at, coming, failure, page, queue, run


def lines(section: Section, rows: int = 50, width: int | None = None) -> list[list[str]]:
    """Return the cells of a section as it is drawn."""
    drawn = [line.plain for line in draw(section, rows, width)]
    return [[part.strip() for part in line.split("  ") if part.strip()] for line in drawn]


def test_the_longest_run_comes_first_with_its_progress() -> None:
    half = {"fraction": 0.5, "message": "half of it"}
    found = [
        run("short", started_at=at(-5), progress=half),
        run("long", started_at=at(-3_700), attempt=3, cancel_requested_at=at(-1)),
        run("outside", started_at=at(-6), waiting_on=["completion"]),
    ]

    drawn = lines(running(page(found), NOW))

    assert [row[:3] for row in drawn] == [
        ["RUNNING 3", "FOR", "PROGRESS"],
        ["long", "1h1m", "cancelling, attempt 3"],
        ["outside", "6s", "waits for its completion"],
        ["short", "5s", "50 %, half of it"],
    ]


def test_the_run_that_is_most_late_comes_first_with_what_it_waits_for() -> None:
    found = [
        run("new", scheduled_for=at(-1)),
        run("retrying", scheduled_for=at(-90), not_before=at(30)),
        run("blocked", scheduled_for=at(-95), waiting_on=["constraint:disk", "handler:x"]),
    ]

    drawn = lines(waiting(page(found), NOW))

    assert [row[:3] for row in drawn[1:]] == [
        ["blocked", "1m35s", "constraint:disk, handler:x"],
        ["retrying", "1m30s", "a retry in 30s"],
        ["new", "1s", "a slot"],
    ]


def test_a_clock_that_differs_makes_no_negative_length_of_time() -> None:
    early = NOW - timedelta(hours=1)

    assert lines(running(page([run("a")]), early))[1][1] == "0s"
    assert lines(waiting(page([run("a")]), early))[1][1] == "0s"


def test_the_failure_that_ended_last_comes_first_with_the_first_line_of_its_error() -> None:
    found = [failure("a", "one\ntwo"), failure("b", "three") | {"finished_at": at(-3)}]

    drawn = lines(failed(page(found), NOW))

    assert [row[:4] for row in drawn] == [
        ["FAILED 2 IN 24H", "ENDED", "REASON", "ERROR"],
        ["b", "3s ago", "fatal", "fail: three"],
        ["a", "10s ago", "fatal", "fail: one"],
    ]


def test_warnings_alerts_and_holds_that_last_need_somebody() -> None:
    alerts = [{"task": "report", "kind": "no_success", "raised_at": at(-120), "run": None}]
    held = {"name": "deploy", "status": "active", "from": at(-60), "until": at(600), "reason": "it moves"}  # fmt: skip
    planned = held | {"name": "later", "status": "planned"}
    endless = held | {"name": "endless", "until": None, "reason": None}
    ready = {"status": "ok", "warnings": ["The disk is nearly full."]}

    drawn = lines(attention(ready, page(alerts), page([held, planned, endless]), NOW))

    assert drawn[1:] == [
        ["service", "warning", "-", "The disk is nearly full."],
        ["report", "no success", "2m ago", "-"],
        ["deploy", "hold", "1m ago", "ends in 10m: it moves"],
        ["endless", "hold", "1m ago", "until it is ended"],
    ]


def test_each_task_has_its_next_fire_time_only() -> None:
    found = [
        coming("late", -20),
        coming("just-now", -1),
        coming("often", 10),
        coming("often", 20),
        coming("held", 3_600, held=True),
    ]

    drawn = lines(upcoming(agenda(found), NOW))

    assert drawn[0][0] == "DUE 4 IN 7D"
    assert [row[:2] for row in drawn[1:]] == [
        ["late", "20s ago"],
        ["just-now", "now"],
        ["often", "10s"],
        ["held", "1h"],
    ]
    assert drawn[-1][-1] == "held"


def test_a_list_of_fire_times_that_is_cut_says_up_to_when_it_is_complete() -> None:
    section = upcoming(agenda([coming("often", 10)], complete_until=at(60)), NOW)

    assert section.heading(1).startswith("DUE 1 UNTIL ")
    assert section.heading(1).endswith(":01")


def test_a_fire_time_of_another_day_has_its_date() -> None:
    drawn = lines(upcoming(agenda([coming("a", 86_400)]), NOW))

    assert drawn[1][2].startswith("2026-12-01 ")


def test_queues_from_which_nothing_starts_come_first_then_the_longest() -> None:
    found = [
        queue("idle"),
        queue("long", queued=7, oldest_queued_at=at(-30)),
        queue("full", concurrency=2, running=2, queued=1, oldest_queued_at=at(-5)),
        queue("stopped", paused=True),
        queue("busy", concurrency=2, running=2),
    ]

    drawn = lines(queues(page(found), NOW))

    assert drawn[1:] == [
        ["full", "2/2", "1", "0", "5s ago", "full"],
        ["stopped", "0", "0", "0", "-", "paused"],
        ["long", "0", "7", "0", "30s ago"],
        ["busy", "2/2", "0", "0", "-"],
        ["idle", "0", "0", "0", "-"],
    ]


@pytest.mark.parametrize("section", [running, waiting, failed, upcoming, queues])
def test_what_the_key_may_not_read_is_said_in_a_line(section: object) -> None:
    assert callable(section)

    assert lines(section(None, NOW))[0][0].endswith("not with this key")


def test_what_is_not_shown_is_counted() -> None:
    many = running(
        page([run(f"t{each}") for each in range(9)], total=1_234, total_is_exact=True), NOW
    )
    more = running(page([run("t")], total=10_000, total_is_exact=False), NOW)

    assert lines(many, rows=4)[0][0] == "RUNNING 1,234 (1,230 more)"
    assert lines(more)[0][0] == "RUNNING 10,000+ (9,999+ more)"
    assert lines(failed(page([failure("t", "x")], next_cursor="c"), NOW))[0][0] == "FAILED 1+ IN 24H"  # fmt: skip


def test_texts_of_a_service_cannot_move_the_cursor() -> None:
    assert cell("a\x1b[2Jb\r\n\u202ec").plain == "a\\u001b[2Jb\\r\\n\\u202ec"
    assert cell(None).plain == "-"


def test_extra_columns_are_left_out_before_texts_are_cut() -> None:
    progress = {"fraction": None, "message": "m" * 40}
    section = running(page([run("task", progress=progress)]), NOW)

    wide, less, narrow = (lines(section, width=width) for width in (120, 70, 30))

    assert wide[0][-2:] == ["QUEUE", "RUN"]
    assert less[1] == ["task", "1m", "m" * 40, "default"]
    assert narrow[0] == ["RUNNING 1", "FOR", "PROGRESS"]
    assert narrow[1][2].endswith("m…")


@pytest.mark.parametrize("width", [1, 5, 20, 39, 40, 41, 80, 81, 200])
def test_no_line_is_wider_than_there_is_room_for(width: int) -> None:
    progress = {"fraction": 0.5, "message": "語" * 100}
    section = running(page([run("n" * 128, progress=progress)]), NOW)

    assert max(line.cell_len for line in draw(section, 1, width)) <= width


def test_a_pipe_gets_every_cell_as_a_whole() -> None:
    name, message = "n" * 128, "m" * 300

    drawn = lines(running(page([run(name, progress={"fraction": None, "message": message})]), NOW))

    assert drawn[1][0] == name
    assert drawn[1][2] == message
