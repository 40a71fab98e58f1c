"""Schedules in plain English."""

from typing import Any

import pytest
from hypothesis import given, settings

from app.domain.describing import describe
from app.domain.schedules import Unreadable
from tests.domain.rules import ALL, read

CRON = {
    "* * * * *": "Every minute",
    "*/15 * * * *": "Every 15 minutes",
    "*/7 * * * *": "At every 7th minute from 0 to 56 of every hour",
    "5,35 * * * *": "At minutes 5 and 35 of every hour",
    "@hourly": "Every hour",
    "@daily": "At 00:00 every day",
    "@weekly": "At 00:00 on Sunday",
    "@monthly": "At 00:00 on the 1st of the month",
    "@yearly": "At 00:00 on the 1st of January",
    "0 9 * * 1-5": "At 09:00 on Monday to Friday",
    "0 9 * * mon,wed,fri": "At 09:00 on Monday, Wednesday and Friday",
    "0 0 * * 0,6": "At 00:00 on Saturday and Sunday",
    "30 2 * * 7": "At 02:30 on Sunday",
    "0 9,17 * * *": "At 09:00 and 17:00 every day",
    "*/30 9,12 * * *": "At 09:00, 09:30, 12:00 and 12:30 every day",
    "*/15 9-17 * * 1-5": "Every 15 minutes from 09:00 to 17:45 on Monday to Friday",
    "30 9-17 * * *": "Every hour from 09:30 to 17:30",
    "* 9 * * *": "Every minute from 09:00 to 09:59",
    "0 */2 * * *": "Every 2 hours",
    "7 */3 1 1 *": "Every 3 hours at minute 7 on the 1st of January",
    "5,35 8-18/2 * * *": "At minutes 5 and 35 of the hours 8, 10, 12, 14, 16 and 18 every day",
    "0 0 L * *": "At 00:00 on the last day of the month",
    "0 0 15,L 1 *": "At 00:00 on the 15th and the last day of January",
    "0 9 LW * *": "At 09:00 on the last working day (Monday to Friday) of the month",
    "0 0 * * 5L": "At 00:00 on the last Friday of the month",
    "0 9 * 1-3,6 1#2": "At 09:00 on the second Monday of January to March and June",
    "0 9 29-31 * *": "At 09:00 on the 29th to 31st of the month",
    "0 0 * 2/3 *": "At 00:00 every day in February, May, August and November",
    "0 * * 12 1": "Every hour on Monday in December",
    "0 0 13 * 5": "At 00:00 on the 13th of the month or on Friday",
    "0 0 1 jan,jul 1": "At 00:00 on the 1st of the month or on Monday, in January and July",
    "0 0 */2 * 1": "At 00:00 on every 2nd day from the 1st to the 31st of the month if that is Monday",
    "* * * * * *": "Every second",
    "*/20 * * * * *": "Every 20 seconds",
    "5 * * * * *": "At second 5 of every minute",
    "30 30 2 * * *": "At 02:30:30 every day",
    "*/10 0 9 * * *": "Every 10 seconds of minute 0 of the hour 9",
}
INTERVAL: dict[str, Any] = {"type": "interval", "every": "1h30m"}
OTHERS: list[tuple[dict[str, Any], str]] = [
    ({"type": "interval", "every": 60}, "Every minute"),
    (INTERVAL, "Every 1 hour and 30 minutes"),
    ({"type": "interval", "every": 1.5}, "Every 1 second and 500 milliseconds"),
    (
        INTERVAL | {"anchor": "2026-01-01T00:00:00Z"},
        "Every 1 hour and 30 minutes, counted from 1 January 2026 at 00:00 UTC",
    ),
    (
        {"type": "interval", "every": "1d", "initial_delay": "1m"},
        "Every day, for the first time 1 minute after the registration",
    ),
    (
        {"type": "interval", "every": "1h", "flex": "10m"},
        "Every hour, at some point in the last 10 minutes of each period",
    ),
    (
        {"type": "interval", "every": "5m", "mode": "fixed_delay"},
        "5 minutes after the end of each run",
    ),
    (
        {"type": "once", "at": "2026-12-24T17:30:00", "timezone": "Europe/Berlin"},
        "Once, on 24 December 2026 at 17:30, Europe/Berlin",
    ),
    (
        {"type": "once", "at": "2026-12-24T17:30:05.250+01:00"},
        "Once, on 24 December 2026 at 16:30:05.250 UTC",
    ),
    ({"type": "once", "delay": "2h"}, "Once, 2 hours after the registration"),
    ({"type": "calendar", "unit": "day", "time": "09:00"}, "At 09:00 every day, UTC"),
    (
        {"type": "calendar", "unit": "day", "time": "09:00:30", "step": 3},
        "At 09:00:30 every 3 days, UTC",
    ),
    (
        {"type": "calendar", "unit": "week", "time": "09:00", "day": ["mon", "thu"], "step": 2},
        "At 09:00 on Monday and Thursday of every 2nd week, UTC",
    ),
    (
        {"type": "calendar", "unit": "month", "time": "09:00", "day": "last"},
        "At 09:00 on the last day of every month, UTC",
    ),
    (
        {"type": "calendar", "unit": "month", "time": "09:00", "day": 31},
        "At 09:00 on the 31st of every month that has it, UTC",
    ),
    (
        {
            "type": "calendar",
            "unit": "month",
            "time": "09:00",
            "day": [15, 31],
            "missing_day": "last",
            "timezone": "Europe/Berlin",
        },
        "At 09:00 on the 15th and the 31st of every month or else on the last of its month, Europe/Berlin",
    ),
    (
        {"type": "calendar", "unit": "year", "time": "09:00", "day": ["02-29", "12-24"]},
        "At 09:00 on 29 February and 24 December of every year that has it, UTC",
    ),
    (
        {
            "type": "any_of",
            "schedules": [{"type": "cron", "expression": "0 9 * * 1"}, INTERVAL],
        },
        "At 09:00 on Monday, UTC; or every 1 hour and 30 minutes",
    ),
    ({"type": "after", "tasks": ["a"]}, "After a has succeeded"),
    ({"type": "after", "tasks": ["a", "b", "c"]}, "After a, b and c have succeeded"),
    (
        {"type": "after", "tasks": ["a"], "on": ["failed", "succeeded"], "max_runs": 1},
        "After a has ended as succeeded or failed, 1 run at the most",
    ),
    ({"type": "manual"}, "Only when it is told to run"),
    (
        {
            "type": "interval",
            "every": 60,
            "start_at": "2026-01-01T00:00:00Z",
            "end_at": "2027-01-01T00:00:00Z",
            "max_runs": 1000,
            "jitter": 30,
        },
        (
            "Every minute, from 1 January 2026 at 00:00 UTC, until 1 January 2027 at 00:00 UTC, "
            "1,000 runs at the most, each moved forward by less than 30 seconds"
        ),
    ),
    (
        {
            "type": "interval",
            "every": 60,
            "exclude": [
                "2026-12-25",
                {"from": "2026-12-27", "to": "2026-12-30"},
                {"from": "2026-01-01T00:00:00Z", "to": "2026-01-01T06:00:00Z"},
            ],
        },
        (
            "Every minute, except on 25 December 2026, from 27 December 2026 to 30 December 2026 and "
            "from 1 January 2026 at 00:00 UTC until 1 January 2026 at 06:00 UTC"
        ),
    ),
    (
        {"type": "interval", "every": 60, "exclude": [f"2026-12-{day}" for day in range(10, 30)]},
        "Every minute, except on 20 dates and spans",
    ),
    (
        {"type": "cron", "expression": "0 2 * * *", "dst": {"gap": "skip", "fold": "both"}},
        "At 02:00 every day, UTC, not where the clocks go forward over it, twice where the clocks go back over it",
    ),
    (
        {"type": "cron", "expression": "0 2 * * *", "dst": {"gap": "shift", "fold": "first"}},
        "At 02:00 every day, UTC, later where the clocks go forward over it, once where the clocks go back over it",
    ),
]


@pytest.mark.parametrize("expression", CRON)
def test_a_cron_expression_is_told_with_its_zone(expression: str) -> None:
    schedule = read(type="cron", expression=expression, timezone="Europe/Berlin")

    assert describe(schedule) == f"{CRON[expression]}, Europe/Berlin"


@pytest.mark.parametrize(("members", "words"), OTHERS)
def test_every_kind_of_schedule_is_told(members: dict[str, Any], words: str) -> None:
    assert describe(read(**members)) == words


def test_what_cannot_be_read_is_told_as_well() -> None:
    assert describe(Unreadable(reason="x")) == "This schedule cannot be read"


@given(ALL)
@settings(deadline=None, max_examples=50)
def test_there_are_words_for_any_schedule(schedule: Any) -> None:
    words = describe(schedule)

    assert words[0].isupper() or words[0].isdigit()
    assert "None" not in words
