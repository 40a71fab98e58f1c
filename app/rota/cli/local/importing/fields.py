"""Fields of other programs' schedules as those of crontab.

Celery and APScheduler want both day fields to fit, where crontab takes a day that fits one of them.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from rota.cli.local.importing.imported import NotMappable

_CELERY = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
_APSCHEDULER = ("year", "month", "day", "week", "day_of_week", "hour", "minute", "second")
_LEAST = {"month": "1", "day": "1", "day_of_week": "*", "hour": "0", "minute": "0", "second": "0"}
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_NTH = re.compile(r"(1st|2nd|3rd|4th|5th|last)\s+(mon|tue|wed|thu|fri|sat|sun)")
_ANY_DAYS = ("*", "*/1")


def crontab_of_celery(given: Mapping[str, Any], timezone: str) -> dict[str, Any]:
    """Return the schedule of a `crontab(…)` of Celery; raises NotMappable."""
    unknown = sorted(set(given) - {*_CELERY, "tz", "nowfun", "app"})
    if unknown:
        raise NotMappable(f"crontab has no {unknown[0]!r}")
    fields = [_field(given.get(name, "*")) for name in _CELERY]
    _refuse_both(fields[2], fields[4])
    return {"type": "cron", "expression": " ".join(fields), "timezone": timezone}


def crontab_of_apscheduler(given: Mapping[str, Any], timezone: str) -> dict[str, Any]:
    """Return the schedule of a `cron` trigger of APScheduler; raises NotMappable.

    What is left out behind the first field that is given takes its least value (APScheduler, `CronTrigger`).
    """
    fields: dict[str, str] = {}
    any_given = False
    for name in _APSCHEDULER:
        value = given.get(name)
        any_given = any_given or value is not None
        left_out = _LEAST.get(name, "*") if any_given else "*"
        fields[name] = left_out if value is None else _field(value)
    for name in ("year", "week"):
        if fields[name] != "*":
            raise NotMappable(f"a rule with {name!r} has no counterpart in crontab")
    if given.get("day") is None and given.get("day_of_week") is not None:
        fields["day"] = "*"
    fields["day"], fields["day_of_week"] = _days(fields["day"], fields["day_of_week"])
    _refuse_both(fields["day"], fields["day_of_week"])
    wanted = ("minute", "hour", "day", "month", "day_of_week")
    seconds = [] if fields["second"] == "0" else [fields["second"]]
    expression = " ".join([*seconds, *(fields[name] for name in wanted)])
    return {"type": "cron", "expression": expression, "timezone": timezone}


def _days(day: str, weekday: str) -> tuple[str, str]:
    """Return both day fields as crontab has them: `last`, `2nd fri`, and 0 for Monday are APScheduler's."""
    nth = _NTH.fullmatch(day)
    if nth is not None and weekday == "*":
        number = nth[1][0] if nth[1] != "last" else "L"
        at = (_WEEKDAYS.index(nth[2]) + 1) % 7
        return "*", f"{at}L" if number == "L" else f"{at}#{number}"
    return ("L" if day == "last" else day), re.sub(r"(?<![\d/])[0-6](?!\d)", _named, weekday)


def _named(match: re.Match[str]) -> str:
    return _WEEKDAYS[int(match[0])]


def _refuse_both(day: str, weekday: str) -> None:
    if day not in _ANY_DAYS and weekday not in _ANY_DAYS:
        raise NotMappable(
            f"both the day of the month ({day}) and the weekday ({weekday}) must fit there; crontab takes a day that "
            "fits one of them"
        )


def _field(value: Any) -> str:
    if isinstance(value, list | tuple | set | frozenset):
        return ",".join(map(str, sorted(value) if isinstance(value, set | frozenset) else value))
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise NotMappable(f"{value!r} is no field of a cron expression")
    return str(value).strip().lower().replace(", ", ",")


def seconds_of(given: Mapping[str, Any]) -> float:
    """Return the seconds of a `timedelta(…)`, or of an `interval` trigger; raises NotMappable."""
    try:
        seconds = timedelta(**given).total_seconds()
    except (TypeError, OverflowError) as error:
        raise NotMappable(f"this is no length of time: {error}") from None
    return int(seconds) if seconds.is_integer() else seconds
