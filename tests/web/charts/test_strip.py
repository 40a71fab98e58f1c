"""The marks of a task on the first page: which are one, what they say, and how many there are at most."""

import re
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from rota.domain.primitives.times.instants import format_instant
from rota.web.charts.strip import Scale, draw_due, draw_runs
from tests.support.factories import HOUR, NOON

SCALE = Scale(NOON - HOUR, NOON + HOUR)
SECOND = timedelta(seconds=1)


def run(seconds: float, status: str = "succeeded", *, took: float = 0.1) -> dict[str, Any]:
    at = format_instant(NOON - HOUR + seconds * SECOND)
    return {
        "id": f"run-{seconds}",
        "task": "a & b",
        "status": status,
        "scheduled_for": at,
        "started_at": at,
        "duration": took,
    }


def drawn(*runs: dict[str, Any]) -> str:
    return str(draw_runs(runs, 0, SCALE))


def titles(svg: str) -> list[str]:
    return re.findall("<title>([^<]*)", svg)


def test_runs_apart_from_each_other_have_a_mark_each() -> None:
    svg = drawn(run(0), run(600, "failed"))

    assert re.findall('href="([^"]*)"', svg) == ["/ui/runs/run-600", "/ui/runs/run-0"]
    assert re.findall('<text class="([a-z]*)" x="([0-9.]*)%"', svg) == [
        ("bad", "8.33"),
        ("good", "0.0"),
    ]
    assert "several" not in svg


def test_runs_that_would_cover_each_other_are_one_mark_that_says_how_many() -> None:
    svg = drawn(*(run(number) for number in range(30, 0, -3)))

    [title] = titles(svg)
    assert title.startswith("a &amp; b: 10 runs from ")
    assert title.endswith(": 10 succeeded")
    assert svg.count("<text") == 0
    query = "task=a+%26+b&amp;scheduled_from="
    assert f'href="/ui/runs?{query}' in svg


@pytest.mark.parametrize(
    ("statuses", "tone"),
    [
        (["succeeded", "failed", "running"], "bad"),
        (["succeeded", "queued", "running"], "wait"),
        (["succeeded", "running", "skipped"], "busy"),
        (["succeeded", "cancelled"], "mute"),
    ],
)
def test_a_mark_of_several_has_the_colour_of_the_worst(statuses: list[str], tone: str) -> None:
    svg = drawn(*(run(number, status) for number, status in enumerate(statuses)))

    assert f'class="{tone} several"' in svg
    assert len(re.findall("several", svg)) == 1


def test_a_failure_among_many_is_named_first_and_seen_without_colours() -> None:
    fine = [run(number) for number in range(20)]

    with_failure = drawn(*fine, run(20, "failed"))

    assert titles(with_failure)[0].endswith(": 1 failed, 20 succeeded")
    heights = [
        re.findall('several"[^>]* height="([0-9]+)"', svg) for svg in (drawn(*fine), with_failure)
    ]
    assert heights == [["10"], ["16"]]


def test_runs_of_each_second_of_the_hour_are_a_bounded_number_of_marks_that_do_not_overlap() -> (
    None
):
    svg = drawn(*(run(number) for number in range(3_600)))

    found = re.findall('several" x="([0-9.]*)%" y="[0-9]*" width="([0-9.]*)%', svg)
    segments = sorted((float(x), float(x) + float(width)) for x, width in found)
    assert 20 < len(segments) <= 26
    assert segments[-1][1] <= 50
    assert all(one[1] < following[0] for one, following in pairwise(segments))
    assert svg.count("<rect") <= 52


def test_how_long_runs_took_is_drawn_from_the_first_to_the_last_end() -> None:
    svg = drawn(run(0, took=1), run(30, took=690))

    assert 'class="good took" x="0.0%" y="8" width="10.0%"' in svg


def test_fire_times_to_come_are_merged_as_well() -> None:
    times = [format_instant(NOON + number * SECOND) for number in (*range(5), 1_800)]

    svg = str(draw_due(times, 0, SCALE))

    assert titles(svg) == [f"5 due from {times[0]} to {times[4]}", f"due {times[5]}"]
    assert (svg.count("<rect"), svg.count("<circle")) == (1, 1)
