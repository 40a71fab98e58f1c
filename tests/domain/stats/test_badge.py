"""The texts of badges, without markup in them."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.api.stats.svg import draw
from rota.domain.runs.status import RunStatus, Trigger
from rota.domain.stats.badge import Badge, Colour, TaskState, completeness_badge, state_badge
from rota.domain.stats.report import Quantiles, Report, Tally
from rota.domain.stats.window import Window
from rota.domain.tasks.definition import TaskStatus
from tests.support.factories import HOUR, MINUTE, NOON

STATE = TaskState(
    name="t",
    status=TaskStatus.ACTIVE,
    next_fire_at=NOON + HOUR,
    consecutive_failures=0,
    last_success_at=NOON - HOUR,
    is_held=False,
    is_overdue=False,
)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({}, "passing"),
        ({"last_success_at": None}, "no runs"),
        ({"consecutive_failures": 1}, "failing"),
        ({"next_fire_at": NOON - 2 * MINUTE}, "late"),
        ({"is_overdue": True}, "late"),
        ({"is_held": True, "consecutive_failures": 1}, "held"),
        ({"status": TaskStatus.PAUSED, "consecutive_failures": 1}, "paused"),
        ({"status": TaskStatus.CANCELLED}, "cancelled"),
        ({"status": TaskStatus.COMPLETED, "next_fire_at": None}, "passing"),
        ({"status": TaskStatus.COMPLETED, "consecutive_failures": 1}, "failing"),
    ],
)
def test_a_badge_says_first_what_keeps_a_task_from_running(
    changed: dict[str, Any], message: str
) -> None:
    assert state_badge(replace(STATE, **changed), NOON).message == message


def report(ran: int, missed: int, **fields: Any) -> Report:
    tallies = (
        Tally(RunStatus.SUCCEEDED, None, Trigger.SCHEDULE, True, ran),
        Tally(RunStatus.SKIPPED, "misfire", Trigger.SCHEDULE, False, missed),
    )
    usual: dict[str, Any] = {"exact": True, "complete_since": None}
    return Report(
        window=Window(NOON, NOON + HOUR),
        tallies=tallies,
        waiting={},
        duration=Quantiles(),
        lateness=Quantiles(),
        **usual | fields,
    )


@pytest.mark.parametrize(
    ("found", "message", "colour"),
    [
        (report(1_000, 0), "100 %", Colour.GREEN),
        (report(9_999, 1), "99.9 %", Colour.GREEN),
        (report(96, 4), "96 %", Colour.AMBER),
        (report(1, 1), "50 %", Colour.RED),
        (report(1, 1, exact=False), "≈ 50 %", Colour.RED),
        (report(0, 0), "no fire times", Colour.GREY),
    ],
)
def test_a_badge_of_completeness_never_says_more_than_there_is(
    found: Report, message: str, colour: Colour
) -> None:
    assert completeness_badge("t", found) == Badge("t completeness", message, colour)


def test_what_is_not_kept_makes_it_a_guess() -> None:
    since: datetime = NOON + timedelta(minutes=1)

    assert completeness_badge("t", report(1, 0, complete_since=since)).message == "≈ 100 %"


XML_TEXT = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cn", "Cc"]))


@given(XML_TEXT, XML_TEXT)
def test_any_text_is_shown_as_it_is_and_is_no_markup(label: str, message: str) -> None:
    drawn = ET.fromstring(draw(Badge(label, message, Colour.GREEN)))

    texts = [each.text or "" for each in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == [label, message]
    assert {each.tag.partition("}")[2] for each in drawn.iter()} == {
        *("svg", "title", "rect", "g", "text")
    }
