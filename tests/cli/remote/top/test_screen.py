"""The whole screen: it fits, and says whether the service answers."""

from datetime import timedelta
from typing import Any

import pytest
from rich.text import Span

from rota.cli.remote.top.screen import screen, shares
from rota.cli.remote.top.seen import Seen, Size, Subject
from tests.cli.remote.top.documents import (
    NOW,
    agenda,
    at,
    coming,
    failure,
    page,
    queue,
    run,
    snapshot,
)

HERE = Subject("http://localhost:8000")
ALL = Size(None, None)


def drawn(seen: Seen, size: Size = ALL, later: float = 0, subject: Subject = HERE) -> list[str]:
    """Return the lines of the screen, seconds after the snapshot."""
    lines = screen(subject, seen, size, NOW + timedelta(seconds=later))
    return [line.plain for line in lines]


def crowded() -> Any:
    """Return a snapshot of a service in which there is more than fits on any screen."""
    tasks = [f"task-{number}" for number in range(100)]
    alert = {"kind": "failures", "raised_at": at(-9), "run": None}
    return snapshot(
        running=page([run(each) for each in tasks], total=1_000, total_is_exact=True),
        waiting=page([run(each) for each in tasks]),
        failed=page([failure(each, "語" * 90) for each in tasks]),
        alerts=page([{"task": each, **alert} for each in tasks]),
        upcoming=agenda([coming(each, 60) for each in tasks]),
        queues=page([queue(each) for each in tasks]),
    )


@pytest.mark.parametrize(
    "size", [(80, 24), (200, 60), (139, 24), (140, 24), (141, 9), (20, 5), (300, 400), (1, 1)]
)
@pytest.mark.parametrize("error", [None, "No answer from http://localhost:8000: refused"])
def test_the_screen_fits_the_terminal(size: tuple[int, int], error: str | None) -> None:
    for found in (crowded(), snapshot(), None):
        lines = screen(HERE, Seen(found, error), Size(*size), NOW)

        assert len(lines) <= size[1]
        assert max(line.cell_len for line in lines) <= size[0]


def test_a_small_terminal_shows_some_of_each_and_counts_the_rest() -> None:
    lines = drawn(Seen(crowded()), Size(80, 24))

    headings = [line for line in lines if "more)" in line]
    assert len(lines) == 24
    assert [heading.split()[0] for heading in headings] == [
        *("RUNNING", "WAITING", "ATTENTION"),
        *("DUE", "QUEUES", "FAILED"),
    ]
    assert headings[0].startswith("RUNNING 1,000 (997 more)  FOR")
    assert sum(line.startswith("task-") for line in lines) == 15


def test_a_large_terminal_shows_two_columns() -> None:
    lines = drawn(Seen(crowded()), Size(200, 60))

    assert lines[3].startswith("RUNNING 1,000 (982 more)")
    assert lines[3].index("DUE 100 IN 7D (82 more)") == 102
    assert len(lines) == 60


def test_a_quiet_service_has_a_line_for_each_section() -> None:
    assert drawn(Seen(snapshot())) == [
        f"rota top http://localhost:8000  {NOW.astimezone():%H:%M:%S}",
        "ready, 1 replica",
        "",
        *("RUNNING 0", "", "WAITING 0", "", "ATTENTION 0", ""),
        *("DUE 0 IN 7D", "", "QUEUES 0", "", "FAILED 0 IN 24H"),
    ]


def test_the_head_says_what_is_looked_at_and_how_it_ends() -> None:
    line = drawn(Seen(), Size(80, 24), subject=Subject("http://h", ["a", "b\x1b"], 2.0))[0]

    assert line.startswith("rota top http://h tag=a tag=b\\u001b ")
    assert line.endswith(f"every 2s, q ends  {NOW.astimezone():%H:%M:%S}")
    assert len(line) == 80


def test_a_service_that_is_not_ready_is_shown_with_the_reason() -> None:
    seen = Seen(snapshot(ready={"status": "not ready", "detail": "The database is away.\x1b[2J"}))

    assert drawn(seen)[1] == "NOT READY: The database is away.\\u001b[2J"


def test_without_an_answer_the_last_one_stays_with_its_age_and_the_reason() -> None:
    seen = Seen(snapshot(running=page([run("import")])), "No answer from http://h: refused")

    lines = drawn(seen, later=75)

    assert lines[1] == "As of 1m15s ago: No answer from http://h: refused"
    assert lines[4].split()[:2] == ["import", "2m15s"]


def test_before_the_first_answer_there_is_a_line_or_the_reason() -> None:
    assert drawn(Seen())[1:] == ["Asking the service …", ""]
    assert drawn(Seen(None, "No answer."))[1:] == ["No answer.", ""]


def test_an_answer_that_takes_long_is_said_to_be_missing() -> None:
    seen = Seen(snapshot(), None, NOW)

    assert drawn(seen, later=4)[1] == "ready, 1 replica"
    assert drawn(seen, later=5)[1] == "As of 5s ago: The service has not answered yet."


def test_what_is_out_of_date_is_dim() -> None:
    found = snapshot(running=page([run("import")]))

    fresh, old = (screen(HERE, Seen(found, error), ALL, NOW)[4] for error in (None, "No answer."))

    whole = Span(0, len(fresh.plain), "dim")
    assert fresh.plain == old.plain
    assert whole in old.spans
    assert whole not in fresh.spans


@pytest.mark.parametrize(
    ("wanted", "room", "granted"),
    [
        ([3, 0, 2], 10, [3, 0, 2]),
        ([9, 1, 9], 7, [3, 1, 3]),
        ([9, 1, 9], 8, [4, 1, 3]),
        ([9, 9], 0, [0, 0]),
        ([9, 9], -5, [0, 0]),
    ],
)
def test_room_is_shared_evenly(wanted: list[int], room: int, granted: list[int]) -> None:
    assert shares(wanted, room) == granted
