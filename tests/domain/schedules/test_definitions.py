"""What may be declared of a schedule, and how it is shown."""

from typing import Any

import pytest
from hypothesis import given, settings
from pydantic import ValidationError

from rota.domain.primitives.bounds import STORED
from rota.domain.schedules.base import Anchor
from rota.domain.schedules.fire_times import next_fire
from rota.domain.schedules.rules import Cron
from rota.errors import Unplannable
from tests.domain.schedules.rules import ADAPTER, ALL, read
from tests.support.factories import NOON


def _show(schedule: Any) -> dict[str, Any]:
    return ADAPTER.dump_python(schedule, mode="json", exclude_none=True)


@pytest.mark.parametrize(
    ("declared", "shown"),
    [
        ({"type": "once", "at": "2026-12-24T17:30:00+01:00"}, {"at": "2026-12-24T16:30:00.000Z"}),
        (
            {"type": "once", "at": "2026-12-24T17:30", "timezone": "Europe/Berlin"},
            {"at": "2026-12-24T17:30:00"},
        ),
        ({"type": "once", "delay": "2h"}, {"delay": 7_200}),
        ({"type": "interval", "every": "15m"}, {"every": 900, "mode": "fixed_rate"}),
        (
            {"type": "interval", "every": "15m", "initial_delay": 0, "flex": "5m"},
            {"initial_delay": 0, "flex": 300},
        ),
        ({"type": "cron", "expression": " 0  9 * * 1-5 "}, {"expression": "0 9 * * 1-5"}),
        (
            {"type": "calendar", "unit": "day", "time": "09:00:00"},
            {"time": "09:00", "step": 1, "timezone": "UTC"},
        ),
        (
            {
                "type": "calendar",
                "unit": "week",
                "day": ["Thursday", "MON", "thu"],
                "time": "09:00:30",
            },
            {"day": ["mon", "thu"], "time": "09:00:30"},
        ),
        (
            {"type": "calendar", "unit": "month", "day": ["last", 31, 1], "time": "00:00"},
            {"day": [1, 31, "last"], "missing_day": "skip"},
        ),
        (
            {"type": "calendar", "unit": "year", "day": ["12-24"], "time": "18:00"},
            {"day": "12-24"},
        ),
        (
            {"type": "any_of", "schedules": [{"type": "interval", "every": "1m"}]},
            {"schedules": [{"type": "interval", "every": 60, "mode": "fixed_rate"}]},
        ),
        (
            {"type": "after", "tasks": ["b", "a"], "on": ["failed", "succeeded", "failed"]},
            {"tasks": ["b", "a"], "on": ["succeeded", "failed"], "merge": "by_task"},
        ),
        ({"type": "manual"}, {}),
        (
            {
                "type": "cron",
                "expression": "@daily",
                "start_at": "2026-01-01T00:00:00+01:00",
                "max_runs": 3,
                "jitter": "5m",
                "exclude": [
                    {"from": "2026-12-24T00:00:00Z", "to": "2026-12-25T00:00:00+01:00"},
                    "2026-12-25",
                    {"from": "2026-12-25", "to": "2026-12-25"},
                    {"from": "2026-05-01", "to": "2026-05-03"},
                ],
                "dst": {"gap": "skip"},
            },
            {
                "start_at": "2025-12-31T23:00:00.000Z",
                "max_runs": 3,
                "jitter": 300,
                "exclude": [
                    {"from": "2026-05-01", "to": "2026-05-03"},
                    "2026-12-25",
                    {"from": "2026-12-24T00:00:00.000Z", "to": "2026-12-24T23:00:00.000Z"},
                ],
                "dst": {"gap": "skip"},
            },
        ),
    ],
)
def test_a_schedule_is_echoed_as_it_was_sent_but_normalised(declared: Any, shown: Any) -> None:
    once = read(**declared)
    out = _show(once)

    assert out.items() >= shown.items()
    assert out.keys() <= declared.keys() | shown.keys() | {
        "timezone",
        "step",
        "mode",
        "missing_day",
    }
    assert ADAPTER.validate_python(out) == once


def test_what_says_nothing_is_left_out() -> None:
    plain = read(type="cron", expression="@daily")
    empty = read(type="cron", expression="@daily", exclude=[], dst={}, jitter=0, end_at=None)

    assert empty == plain
    assert _show(empty) == {"type": "cron", "expression": "@daily", "timezone": "UTC"}


@given(ALL)
@settings(deadline=None)
def test_any_schedule_is_stored_and_shown_without_a_loss(schedule: Any) -> None:
    stored = ADAPTER.dump_json(schedule, exclude_defaults=True)

    assert ADAPTER.validate_json(stored, context=STORED) == schedule
    assert ADAPTER.validate_python(_show(schedule)) == schedule


CRON = {"type": "cron", "expression": "0 0 * * *"}
MINUTE = {"type": "interval", "every": "1m"}
MONTH = {"type": "calendar", "unit": "month", "time": "09:00"}
FIRST, SECOND = "2026-12-24T17:30:00Z", "2026-12-24T17:31:00Z"


@pytest.mark.parametrize(
    ("declared", "place", "says"),
    [
        ({}, (), "says which kind of schedule"),
        ({"type": "hourly"}, (), "any_of"),
        ({"type": "once"}, ("once",), "exactly one"),
        ({"type": "once", "at": FIRST, "delay": 1}, ("once",), "exactly one"),
        ({"type": "once", "at": "2026-12-24T17:30:00"}, ("once", "at"), "offset"),
        ({"type": "once", "at": FIRST, "timezone": "UTC"}, ("once", "at"), "without an offset"),
        (
            {"type": "once", "at": "2026-12-24T17:30:00", "timezone": "Bonn"},
            ("once", "timezone"),
            "IANA",
        ),
        ({"type": "once", "delay": 1, "timezone": "UTC"}, ("once",), "local 'at'"),
        ({"type": "once", "at": FIRST, "dst": {"gap": "skip"}}, ("once", "dst"), "timezone"),
        ({"type": "once", "at": FIRST, "start_at": SECOND}, ("once",), "never fires"),
        ({"type": "once", "at": SECOND, "end_at": FIRST}, ("once",), "never fires"),
        ({"type": "interval", "every": 0.999}, ("interval", "every"), "1 second"),
        (MINUTE | {"anchor": "2026-12-24T17:30:00"}, ("interval", "anchor"), "offset"),
        (MINUTE | {"anchor": SECOND, "end_at": FIRST}, ("interval", "anchor"), "never fires"),
        (
            MINUTE | {"anchor": FIRST, "initial_delay": 5},
            ("interval", "initial_delay"),
            "either 'anchor' or",
        ),
        (MINUTE | {"mode": "hourly"}, ("interval", "mode"), "fixed_delay"),
        (MINUTE | {"flex": 61}, ("interval", "flex"), "at most 'every'"),
        (MINUTE | {"flex": 0}, ("interval", "flex"), "above 0"),
        (MINUTE | {"flex": 1, "jitter": 1}, ("interval", "flex"), "either 'flex' or 'jitter'"),
        (MINUTE | {"flex": 1, "mode": "fixed_delay"}, ("interval", "flex"), "no periods"),
        (MINUTE | {"timezone": "UTC"}, ("interval", "timezone"), "not permitted"),
        (MINUTE | {"dst": {"gap": "skip"}}, ("interval", "dst"), "not permitted"),
        (MINUTE | {"max_runs": 0}, ("interval", "max_runs"), "greater than or equal to 1"),
        (MINUTE | {"max_runs": "3"}, ("interval", "max_runs"), "integer"),
        (
            MINUTE | {"start_at": SECOND, "end_at": FIRST},
            ("interval", "end_at"),
            "'end_at' comes before 'start_at'",
        ),
        ({"type": "cron", "expression": "0 0 30 2 *"}, ("cron", "expression"), "never fires"),
        (CRON | {"timezone": "Bonn"}, ("cron", "timezone"), "IANA"),
        (CRON | {"time_zone": "UTC"}, ("cron", "time_zone"), "not permitted"),
        (CRON | {"dst": {"gap": "run"}}, ("cron", "dst", "gap"), "'shift' or 'skip'"),
        (CRON | {"exclude": "2026-12-25"}, ("cron", "exclude"), "tuple"),
        (CRON | {"exclude": ["2026-12-32"]}, ("cron", "exclude", 0), "exists"),
        (CRON | {"exclude": ["2026-12-25", "25.12."]}, ("cron", "exclude", 1), "is not a date"),
        (CRON | {"exclude": ["9999-12-31"]}, ("cron", "exclude", 0), "years 1970 to 8999"),
        (CRON | {"exclude": [{"from": "2026-12-25"}]}, ("cron", "exclude", 0), "span"),
        (CRON | {"exclude": [{"from": 1, "to": 2}]}, ("cron", "exclude", 0), "dates"),
        (CRON | {"exclude": [{"from": "2026-12-25", "to": FIRST}]}, ("cron", "exclude", 0), "both"),
        (
            CRON | {"exclude": [{"from": "2026-12-25", "to": "2026-12-24"}]},
            ("cron", "exclude", 0),
            "before 'from'",
        ),
        (
            CRON | {"exclude": [{"from": FIRST, "to": FIRST}]},
            ("cron", "exclude", 0),
            "after 'from'",
        ),
        (MONTH, ("calendar", "day"), "days of the month"),
        (MONTH | {"day": 0}, ("calendar", "day"), "1 to 31"),
        (MONTH | {"day": []}, ("calendar", "day"), "1 to 31"),
        (MONTH | {"day": [1, True]}, ("calendar", "day"), "1 to 31"),
        (MONTH | {"day": "mon"}, ("calendar", "day"), "1 to 31"),
        (MONTH | {"unit": "week", "day": 1}, ("calendar", "day"), "days of the week"),
        (MONTH | {"unit": "year", "day": "02-30"}, ("calendar", "day"), "no year has"),
        (MONTH | {"unit": "year", "day": "13-01"}, ("calendar", "day"), "no year has"),
        (MONTH | {"unit": "year", "day": 1}, ("calendar", "day"), "month-day"),
        (MONTH | {"unit": "day", "day": 1}, ("calendar", "day"), "every day"),
        (MONTH | {"unit": "hour", "day": 1}, ("calendar", "unit"), "'day'"),
        (MONTH | {"day": 1, "step": 0}, ("calendar", "step"), "greater"),
        (MONTH | {"day": 1, "time": "9:00"}, ("calendar", "time"), "HH:MM"),
        (MONTH | {"day": 1, "time": "24:00"}, ("calendar", "time"), "HH:MM"),
        (MONTH | {"day": 1, "time": 9}, ("calendar", "time"), "HH:MM"),
        (
            {"type": "calendar", "unit": "day", "time": "09:00", "missing_day": "last"},
            ("calendar", "missing_day"),
            "never missing",
        ),
        ({"type": "any_of", "schedules": []}, ("any_of", "schedules"), "at least 1"),
        ({"type": "any_of", "schedules": [MINUTE] * 21}, ("any_of", "schedules"), "at most 20"),
        (
            {"type": "any_of", "schedules": [MINUTE, {"type": "any_of", "schedules": [MINUTE]}]},
            ("any_of", "schedules", 1),
            "does not match",
        ),
        (
            {"type": "any_of", "schedules": [MINUTE, {"type": "interval", "every": 0}]},
            ("any_of", "schedules", 1, "interval", "every"),
            "1 second",
        ),
        (
            {"type": "any_of", "schedules": [MINUTE | {"mode": "fixed_delay"}]},
            ("any_of", "schedules", 0),
            "fixed_delay",
        ),
        (
            {"type": "any_of", "schedules": [MINUTE | {"max_runs": 1}]},
            ("any_of", "schedules", 0),
            "max_runs",
        ),
        ({"type": "after", "tasks": []}, ("after", "tasks"), "at least 1"),
        ({"type": "after", "tasks": ["a", "a"]}, ("after", "tasks"), "once"),
        ({"type": "after", "tasks": ["a", "run"]}, ("after", "tasks", 1), "reserved"),
        ({"type": "after", "tasks": ["a"] * 101}, ("after", "tasks"), "at most 100"),
        ({"type": "after", "tasks": ["a"], "on": []}, ("after", "on"), "at least 1"),
        ({"type": "after", "tasks": ["a"], "on": ["done"]}, ("after", "on", 0), "succeeded"),
        ({"type": "after", "tasks": ["a"], "jitter": 1}, ("after", "jitter"), "not permitted"),
        ({"type": "manual", "every": 5}, ("manual", "every"), "not permitted"),
        ({"type": "manual", "max_runs": 5}, ("manual", "max_runs"), "not permitted"),
    ],
)
def test_a_wrong_schedule_is_refused_at_the_place_of_its_fault(
    declared: Any, place: Any, says: str
) -> None:
    with pytest.raises(ValidationError, match=says) as refused:
        ADAPTER.validate_python(declared)

    places = [error["loc"] for error in refused.value.errors()]
    assert places[0] == place
    assert all(
        other == place[: len(other)] for other in places
    )  # what is around a fault is wrong, too


def test_what_is_stored_can_be_read_though_its_zone_has_gone() -> None:
    declared = {"type": "cron", "expression": "0 0 * * *", "timezone": "Atlantis/Capital"}

    schedule = ADAPTER.validate_python(declared, context=STORED)

    assert isinstance(schedule, Cron)
    with pytest.raises(Unplannable, match="Atlantis"):
        next_fire(schedule, Anchor(NOON), NOON)
