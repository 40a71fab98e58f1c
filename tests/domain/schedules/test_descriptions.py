"""Schedules in plain English."""

from typing import Any

import pytest
from hypothesis import given, settings

from rota.domain.schedules.definitions import Unreadable
from rota.domain.schedules.descriptions import describe
from tests.domain.schedules.rules import ALL, read

CRON = {
    "* * * * *": "Every minute",
    "*/15 * * * *": "Every 15 minutes",
    "*/7 * * * *": "Every 7 minutes from minute 0 to minute 56 of every hour",
    "5,35 * * * *": "At minutes 5 and 35 of every hour",
    "@hourly": "Every hour",
    "@daily": "At 00:00 every day",
    "@weekly": "At 00:00 on Sunday",
    "@monthly": "At 00:00 on the 1st of the month",
    "@yearly": "At 00:00 on the 1st of January",
    "0 9 * * 1-5": "At 09:00 from Monday to Friday",
    "0 9 * * mon,wed,fri": "At 09:00 on Monday, Wednesday and Friday",
    "0 0 * * 0,6": "At 00:00 on Saturday and Sunday",
    "30 2 * * 7": "At 02:30 on Sunday",
    "0 9,17 * * *": "At 09:00 and 17:00 every day",
    "*/30 9,12 * * *": "At 09:00, 09:30, 12:00 and 12:30 every day",
    "*/15 9-17 * * 1-5": "Every 15 minutes from 09:00 to 17:45, Monday to Friday",
    "30 9-17 * * *": "Every hour from 09:30 to 17:30",
    "* 9 * * *": "Every minute from 09:00 to 09:59",
    "0 */2 * * *": "Every 2 hours",
    "7 */3 1 1 *": "Every 3 hours from 00:07 to 21:07 on the 1st of January",
    "5,35 8-18/2 * * *": "At minutes 5 and 35 of every 2nd hour from 08:05 to 18:35",
    "1-7 3 * * *": "Every minute from 03:01 to 03:07",
    "1-7 * * * *": "Every minute from minute 1 to minute 7 of every hour",
    "30 * * * *": "At minute 30 of every hour",
    "5/15 * * * *": "At minutes 5, 20, 35 and 50 of every hour",
    "*/90 * * * *": "Every hour",
    "0 */5 * * *": "Every 5 hours from 00:00 to 20:00",
    "0 9-9/1 * * *": "At 09:00 every day",
    "0 0-7,20-23 * * *": "Every hour from 00:00 to 07:00 and from 20:00 to 23:00",
    "0 0-10,12,14,16 * * *": "Every hour from 00:00 to 10:00, and at 12:00, 14:00 and 16:00",
    "0 1,2,4,8,9,11,13 * * *": "At 01:00, 02:00, 04:00, 08:00, 09:00, 11:00 and 13:00 every day",
    "*/7 8-18 * * 1-5": "Every 7 minutes from minute 0 to minute 56 of every hour from 08:00 to 18:56, "
    "Monday to Friday",
    "*/15 8,10,14,16,18 * * *": "Every 15 minutes in the hours beginning at 08:00, 10:00, 14:00, 16:00 and 18:00",
    "0 0 L * *": "At 00:00 on the last day of the month",
    "0 0 15,L 1 *": "At 00:00 on the 15th and the last day of January",
    "0 9 LW * *": "At 09:00 on the last working day (Monday to Friday) of the month",
    "0 0 * * 5L": "At 00:00 on the last Friday of the month",
    "0 9 * 1-3,6 1#2": "At 09:00 on the second Monday of January, February, March and June",
    "0 9 29-31 * *": "At 09:00 from the 29th to the 31st of the month",
    "0 0 * 2/3 *": "At 00:00 every day in February, May, August and November",
    "0 * * 12 1": "Every hour on Monday in December",
    "0 0 13 * 5": "At 00:00 on the 13th of the month and also on Friday",
    "0 0 1 jan,jul 1": "At 00:00 on the 1st of the month and also on Monday, in January and July",
    "0 0 1-31 * 4": "At 00:00 every day",
    "0 0 1-31 * 1": "At 00:00 every day",
    "0 0 1 * 0-6": "At 00:00 every day",
    "0 0 1-31 6 4": "At 00:00 every day in June",
    "0 0 */2 * 5": "At 00:00 on Friday, but only on odd days of the month",
    "0 0 */3 * 1": "At 00:00 on Monday, but only on every 3rd day from the 1st to the 31st of the month",
    "0 0 2/2 * *": "At 00:00 on even days of the month",
    "0 0 13 * */2": "At 00:00 on Tuesday, Thursday, Saturday and Sunday, but only on the 13th of the month",
    "0 0 1,15,L,LW * *": "At 00:00 on the 1st, the 15th, the last day and the last working day (Monday to Friday) of "
    "the month",
    "0 0 * 1,9 mon#1,wed#3": "At 00:00 on the first Monday and the third Wednesday of January and September",
    "0 0 * 1,9 mon,wed#3": "At 00:00 on Monday and the third Wednesday of the month in January and September",
    "0 9-17 * * *": "Every hour from 09:00 to 17:00",
    "0 9-17 * 4-10 *": "Every hour from 09:00 to 17:00, April to October",
    "0 9-17,20 * * 1,5": "Every hour from 09:00 to 17:00, and at 20:00, on Monday and Friday",
    "0 9-17,20 * 5 1-5": "Every hour from 09:00 to 17:00, and at 20:00, Monday to Friday in May",
    "0 0 1 4-10 *": "At 00:00 on the 1st of the month from April to October",
    "0 0 1 1-3,10-12 *": "At 00:00 on the 1st of the month from October to March",
    "0 0 13 1-5,9 5": "At 00:00 on the 13th of the month and also on Friday, from January to May and in September",
    "0 0 1,5-9,20 * *": "At 00:00 on the 1st, from the 5th to the 9th and on the 20th of the month",
    "0 0 1,3,5-9,20 * *": "At 00:00 on the 1st and the 3rd, from the 5th to the 9th, and on the 20th of the month",
    "0 0 1-7 * 1-5": "At 00:00 from the 1st to the 7th of the month and also from Monday to Friday",
    "0 0 */2 * 1-5": "At 00:00 from Monday to Friday, but only on odd days of the month",
    "0 0 LW * *": "At 00:00 on the last working day (Monday to Friday) of the month",
    "0 0 * * 5#1,5L": "At 00:00 on the first and last Friday of the month",
    "0 0 * * 1-3,5L": "At 00:00 from Monday to Wednesday and on the last Friday of the month",
    "0 0 * * sat-mon,wed": "At 00:00 from Saturday to Monday and on Wednesday",
    "0 9-17 1-7 * *": "Every hour from 09:00 to 17:00, from the 1st to the 7th of the month",
    "0 9-17 */2 * 1-5": "Every hour from 09:00 to 17:00, Monday to Friday, but only on odd days of the month",
    "15,46 8,9,11,14 * * 1-5": "At minutes 15 and 46 of the hours beginning at 08:00, 09:00, 11:00 and 14:00, "
    "from Monday to Friday",
    "0 0 * * fri-mon": "At 00:00 from Friday to Monday",
    "* * * * * *": "Every second",
    "*/20 * * * * *": "Every 20 seconds",
    "5 * * * * *": "At second 5 of every minute",
    "30 30 2 * * *": "At 02:30:30 every day",
    "*/10 0 9 * * *": "Every 10 seconds from 09:00:00 to 09:00:50",
    "*/20 0 9 * * *": "At 09:00:00, 09:00:20 and 09:00:40 every day",
    "0,1 * * * * *": "At seconds 0 and 1 of every minute",
    "*/20 5 * * * *": "Every 20 seconds in minute 5 of every hour",
    "*/20 */5 * * * *": "Every 20 seconds in every 5th minute from minute 0 to minute 55 of every hour",
    "* * 9 * * *": "Every second from 09:00:00 to 09:59:59",
}
INTERVAL: dict[str, Any] = {"type": "interval", "every": "1h30m"}
DAILY: dict[str, Any] = {"type": "cron", "expression": "0 9 * * *"}
MONTHLY: dict[str, Any] = {"type": "calendar", "unit": "month", "time": "09:00"}
YEARLY: dict[str, Any] = {"type": "calendar", "unit": "year", "time": "09:00"}
NEW_YEAR = "2026-12-31T00:00:00Z"
COUNTED = "counted from its registration"
OTHERS: list[tuple[dict[str, Any], str]] = [
    ({"type": "interval", "every": 60}, f"Every minute, {COUNTED}"),
    ({"type": "interval", "every": "2d"}, f"Every 2 days, {COUNTED}"),
    ({"type": "interval", "every": "25h"}, f"Every 25 hours, {COUNTED}"),
    ({"type": "interval", "every": "2h40m"}, f"Every 2 hours and 40 minutes, {COUNTED}"),
    ({"type": "interval", "every": "1d1m"}, f"Every 24 hours and 1 minute, {COUNTED}"),
    (INTERVAL, f"Every 90 minutes, {COUNTED}"),
    ({"type": "interval", "every": 1.5}, f"Every 1.5 seconds, {COUNTED}"),
    (
        {"type": "interval", "every": "10m", "start_at": "2026-12-01T08:15:00Z"},
        f"Every 10 minutes, {COUNTED}, not before 1 December 2026 at 08:15 UTC",
    ),
    (
        INTERVAL | {"anchor": "2026-01-01T00:00:00Z"},
        "Every 90 minutes, counted from 1 January 2026 at 00:00 UTC",
    ),
    (
        {"type": "interval", "every": "1d", "initial_delay": "1m"},
        "Every day, starting 1 minute after its registration",
    ),
    (
        {"type": "interval", "every": "1d", "initial_delay": 0},
        "Every day, starting at its registration",
    ),
    (
        {"type": "interval", "every": "1h", "flex": "1m"},
        f"Every hour, at some point in the last minute of each period, {COUNTED}",
    ),
    (
        {"type": "interval", "every": "1h", "flex": "1h", "initial_delay": "10m"},
        "Every hour, at some point in each period, counted from 10 minutes after its registration",
    ),
    (
        {"type": "interval", "every": "5m", "mode": "fixed_delay"},
        "5 minutes after the end of each run, starting 5 minutes after its registration",
    ),
    (
        {"type": "interval", "every": "5m", "mode": "fixed_delay", "initial_delay": 0},
        "5 minutes after the end of each run, starting at its registration",
    ),
    (
        {
            "type": "interval",
            "every": "5m",
            "mode": "fixed_delay",
            "anchor": "2026-01-01T00:00:00Z",
        },
        "5 minutes after the end of each run, starting a whole multiple of 5 minutes after 1 January 2026 at 00:00 UTC",
    ),
    (
        {"type": "once", "at": "2026-12-24T17:30:00", "timezone": "Europe/Berlin"},
        "Once, on 24 December 2026 at 17:30, Europe/Berlin",
    ),
    (
        {"type": "once", "at": "2026-12-24T17:30:05.250+01:00", "jitter": 60},
        "Once, on 24 December 2026 at 16:30:05.250 UTC, delayed by less than 1 minute",
    ),
    ({"type": "once", "delay": "2h"}, "Once, 2 hours after its registration"),
    ({"type": "once", "delay": 0}, "Once, at its registration"),
    ({"type": "calendar", "unit": "day", "time": "09:00"}, "At 09:00 every day, UTC"),
    (
        {"type": "calendar", "unit": "day", "time": "09:00:30", "step": 3},
        "At 09:00:30 every 3 days, counted from the day of its registration, UTC",
    ),
    (
        {
            "type": "calendar",
            "unit": "day",
            "time": "09:00",
            "step": 2,
            "timezone": "Asia/Tokyo",
            "start_at": "2026-12-01T20:00:00Z",
        },
        "At 09:00 every 2 days, counted from 2 December 2026, Asia/Tokyo, from 1 December 2026 at 20:00 UTC",
    ),
    (
        {"type": "calendar", "unit": "week", "time": "09:00", "day": ["mon", "thu"]},
        "At 09:00 on Monday and Thursday of every week, UTC",
    ),
    (
        {"type": "calendar", "unit": "week", "time": "09:00", "day": ["mon", "thu"], "step": 3},
        "At 09:00 on Monday and Thursday of every 3rd week, counted from the week of its registration, UTC",
    ),
    (
        {"type": "calendar", "unit": "week", "time": "09:00", "day": ["mon", "tue", "wed"]},
        "At 09:00 from Monday to Wednesday of every week, UTC",
    ),
    (
        {
            "type": "calendar",
            "unit": "week",
            "time": "09:00",
            "day": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
        },
        "At 09:00 every day, UTC",
    ),
    (
        {
            "type": "calendar",
            "unit": "week",
            "time": "09:00",
            "day": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
            "step": 2,
            "start_at": "2026-12-01T00:00:00Z",
        },
        (
            "At 09:00 on every day of every 2nd week, counted from the week of 1 December 2026, UTC, "
            "from 1 December 2026 at 00:00 UTC"
        ),
    ),
    (
        {
            "type": "calendar",
            "unit": "week",
            "time": "09:00",
            "day": ["sat", "sun", "mon"],
            "step": 2,
        },
        "At 09:00 on Monday, Saturday and Sunday of every 2nd week, counted from the week of its registration, UTC",
    ),
    (MONTHLY | {"day": list(range(1, 32)), "missing_day": "last"}, "At 09:00 every day, UTC"),
    (
        MONTHLY | {"day": list(range(1, 32)), "step": 2},
        "At 09:00 on every day of every 2nd month, counted from the month of its registration, UTC",
    ),
    (MONTHLY | {"day": "last"}, "At 09:00 on the last day of every month, UTC"),
    (
        MONTHLY | {"day": 31},
        "At 09:00 on the 31st of every month, skipping the 31st in months without it, UTC",
    ),
    (
        MONTHLY | {"day": 31, "missing_day": "last"},
        "At 09:00 on the 31st of every month, moving the 31st to the last day in months without it, UTC",
    ),
    (
        MONTHLY | {"day": [15, 31]},
        "At 09:00 on the 15th and the 31st of every month, skipping the 31st in months without it, UTC",
    ),
    (
        MONTHLY | {"day": [15, 31], "step": 5, "start_at": "2026-02-01T00:00:00Z"},
        (
            "At 09:00 on the 15th and the 31st of every 5th month, counted from February 2026, skipping the 31st in "
            "months without it, UTC, from 1 February 2026 at 00:00 UTC"
        ),
    ),
    (
        MONTHLY | {"day": [15, 30, 31], "missing_day": "last", "timezone": "Europe/Berlin"},
        (
            "At 09:00 on the 15th, the 30th and the 31st of every month, moving the 30th and the 31st to the last day "
            "in months without them, Europe/Berlin"
        ),
    ),
    (
        YEARLY | {"day": ["02-29", "10-25"]},
        "At 09:00 on 29 February and 25 October of every year, skipping 29 February in years without it, UTC",
    ),
    (
        YEARLY
        | {"day": "02-29", "missing_day": "last", "step": 2, "start_at": "2026-06-01T00:00:00Z"},
        (
            "At 09:00 on 29 February of every 2nd year, counted from 2026, moving 29 February to 28 February in years "
            "without it, UTC, from 1 June 2026 at 00:00 UTC"
        ),
    ),
    (
        {"type": "any_of", "schedules": [DAILY, INTERVAL]},
        f"At 09:00 every day, UTC; and also every 90 minutes, {COUNTED}",
    ),
    (
        {
            "type": "any_of",
            "schedules": [DAILY, {"type": "cron", "expression": "@hourly"}],
            "end_at": NEW_YEAR,
            "jitter": 60,
        },
        (
            "At 09:00 every day, UTC; and also every hour, UTC; "
            "all of it until 31 December 2026 at 00:00 UTC, delayed by less than 1 minute"
        ),
    ),
    (
        {
            "type": "any_of",
            "schedules": [DAILY, {"type": "cron", "expression": "@hourly", "end_at": NEW_YEAR}],
            "jitter": 60,
        },
        (
            "At 09:00 every day, UTC; and also every hour, UTC, until 31 December 2026 at 00:00 UTC; "
            "all of it delayed by less than 1 minute"
        ),
    ),
    (
        {
            "type": "any_of",
            "schedules": [DAILY | {"jitter": 60}, INTERVAL],
            "start_at": NEW_YEAR,
            "max_runs": 5,
            "exclude": ["2026-12-25"],
        },
        (
            f"At 09:00 every day, UTC, each delayed by less than 1 minute; and also every 90 minutes, {COUNTED}; "
            "all of it not before 31 December 2026 at 00:00 UTC, at most 5 runs in total, "
            "except on 25 December 2026 (UTC)"
        ),
    ),
    ({"type": "after", "tasks": ["a"]}, "After a has succeeded"),
    ({"type": "after", "tasks": ["a", "b", "c"]}, "After a, b and c have succeeded"),
    (
        {"type": "after", "tasks": ["a"], "on": ["failed", "succeeded"], "max_runs": 1},
        "After a has succeeded or failed, at most 1 run",
    ),
    (
        {"type": "after", "tasks": ["a", "b"], "on": ["failed", "cancelled", "skipped"]},
        "After a and b have failed, been cancelled or been skipped",
    ),
    ({"type": "manual"}, "Only when run by hand"),
    (
        DAILY
        | {
            "start_at": "2026-01-01T00:00:00Z",
            "end_at": "2027-01-01T00:00:00Z",
            "max_runs": 1000,
            "jitter": "1h30m30s",
        },
        (
            "At 09:00 every day, UTC, from 1 January 2026 at 00:00 UTC, until 1 January 2027 at 00:00 UTC, "
            "at most 1,000 runs, each delayed by less than 1 hour, 30 minutes and 30 seconds"
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
            f"Every minute, {COUNTED}, except on 25 December 2026 (UTC), from 27 December 2026 to 30 December 2026 "
            "(UTC) and from 1 January 2026 at 00:00 UTC until 1 January 2026 at 06:00 UTC"
        ),
    ),
    (DAILY | {"exclude": ["2026-12-25"]}, "At 09:00 every day, UTC, except on 25 December 2026"),
    (DAILY | {"exclude": []}, "At 09:00 every day, UTC"),
    (
        DAILY | {"exclude": [f"2026-12-{day}" for day in range(10, 30)]},
        "At 09:00 every day, UTC, except on 20 dates and spans of time",
    ),
    (
        DAILY | {"timezone": "Europe/Berlin", "dst": {"gap": "skip", "fold": "both"}},
        (
            "At 09:00 every day, Europe/Berlin, skipped when the clocks go forward over it, run twice when the clocks "
            "go back over it"
        ),
    ),
    (
        DAILY | {"timezone": "Europe/Berlin", "dst": {"gap": "shift", "fold": "first"}},
        (
            "At 09:00 every day, Europe/Berlin, run right after the change when the clocks go forward over it, run "
            "only once when the clocks go back over it"
        ),
    ),
    (DAILY | {"dst": {"gap": "skip", "fold": "both"}}, "At 09:00 every day, UTC"),
    (DAILY | {"timezone": "Etc/GMT+2", "dst": {"fold": "both"}}, "At 09:00 every day, Etc/GMT+2"),
    (DAILY | {"timezone": "Asia/Tokyo", "dst": {"fold": "both"}}, "At 09:00 every day, Asia/Tokyo"),
    (
        DAILY | {"timezone": "Africa/Casablanca", "dst": {"fold": "both"}},
        "At 09:00 every day, Africa/Casablanca, run twice when the clocks go back over it",
    ),
]


@pytest.mark.parametrize("expression", CRON)
def test_a_cron_expression_is_described_with_its_zone(expression: str) -> None:
    schedule = read(type="cron", expression=expression, timezone="Europe/Berlin")

    assert describe(schedule) == f"{CRON[expression]}, Europe/Berlin"


@pytest.mark.parametrize(("fields", "words"), OTHERS)
def test_every_kind_of_schedule_is_described(fields: dict[str, Any], words: str) -> None:
    assert describe(read(**fields)) == words


def test_an_unreadable_schedule_is_described_as_well() -> None:
    assert describe(Unreadable(reason="x")) == "This schedule cannot be read"


@given(ALL)
@settings(deadline=None, max_examples=50)
def test_there_are_words_for_any_schedule(schedule: Any) -> None:
    words = describe(schedule)

    assert words[0].isupper() or words[0].isdigit()
    assert "None" not in words
