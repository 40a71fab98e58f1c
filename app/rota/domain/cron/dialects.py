"""Cron expressions of other schedulers that crontab does not accept: what to write instead."""

import re
from collections.abc import Callable

from rota.domain.cron import fields as cron_fields
from rota.domain.cron.fields import FIELDS, WEEKDAY
from rota.domain.primitives.times.durations import parse_duration

#: How many fields crontab has; a sixth, the seconds, comes before them.
FIVE = 5

_SHOWN = 60
_COUNT = (
    "a cron expression has 5 fields (minute hour day month weekday), or 6 with the seconds first"
)
_CALL = re.compile(r"(cron|rate|at)\s*\((.*)\)", re.IGNORECASE)
_RATE = re.compile(r"(\d+)\s*(second|minute|hour|day|[smhd])s?", re.IGNORECASE | re.ASCII)
_EVERY = re.compile(r"@?every\s+(.+)", re.IGNORECASE)
_ZONE_BEFORE = re.compile(r"(?:CRON_)?TZ=(\S*)\s*(.*)", re.IGNORECASE)
_ZONE = re.compile(r"[A-Z][A-Za-z_]{3,}/[A-Za-z_]{3,}[\w/+-]*|UTC|GMT", re.ASCII)
_YEAR = re.compile(r"(19|20|21)\d\d([-/,].*)?", re.ASCII)
_WEEKDAY_NUMBER = re.compile(r"(?<![\d/#])[1-7](?!\d)", re.ASCII)
_SPACED = re.compile(r"\s*([,/-])\s*")
_LIKE_A_FIELD = re.compile(r"[\d*?,/#~LWH-]+|[A-Z]{3}([,/#-].*)?", re.ASCII | re.IGNORECASE)


def readable(text: str) -> bool:
    """Return whether each of the fields can be read."""
    fields = text.split()
    if len(fields) not in {FIVE, FIVE + 1}:
        return False
    try:
        for field, written in zip(FIELDS[-len(fields) :], fields, strict=True):
            cron_fields.parse(field, written)
    except ValueError:
        return False
    return True


def instead_of(text: str) -> str | None:
    """Return what to write in place of an expression of another dialect, or None for what may be crontab's."""
    if readable(text):
        return None
    return next((says for form in _FORMS if (says := form(text))), None)


def wrong_count(number: int) -> str:
    """Return what to say of an expression of so many fields."""
    return f"{_COUNT}; this one has {number}"


def _quoted(text: str) -> str | None:
    bare = text.strip("'\"`")
    if bare != text and readable(bare):
        return f"the quotes are part of the expression; write {bare}"
    return None


def _reboot(text: str) -> str | None:
    if text.lower() != "@reboot":
        return None
    return (
        "'@reboot' is not known: a service has no reboot that means the same on every replica; to run once, right "
        'after the registration, use {"type": "once", "delay": 0}'
    )


def _every(text: str) -> str | None:
    found = _EVERY.fullmatch(text)
    if found is None:
        return None
    return (
        f"{text[:_SHOWN]!r} is no cron expression; use {_interval(found[1])}, or fields such as '0 9 * * *' (at 09:00 "
        "every day)"
    )


def _call(text: str) -> str | None:
    """AWS: `cron(…)` with a year as its last field, `rate(…)` and `at(…)`."""
    found = _CALL.fullmatch(text)
    if found is None:
        return None
    name, inner = found[1].lower(), found[2].strip()
    if name == "rate":
        return f"'rate(…)' is no cron expression; use {_interval(inner)}"
    if name == "at":
        at = inner if re.fullmatch(r"[\dT:-]+", inner) else "2026-12-24T17:30:00"
        return f"""'at(…)' is no cron expression; use {{"type": "once", "at": "{at}", "timezone": "UTC"}}"""
    *fields, weekday = inner.split()[:FIVE] or ["*"]
    named = _WEEKDAY_NUMBER.sub(lambda each: WEEKDAY.names[int(each[0]) - 1], weekday)
    says = _without_year([*fields, named], inner.split()[FIVE:])
    renamed = "" if named == weekday else "; 1 is Sunday there, and Monday here"
    return f"give the fields without 'cron(…)'{says}{renamed}"


def _zone(text: str) -> str | None:
    found = _ZONE_BEFORE.fullmatch(text)
    if found is not None:
        name, rest = found.groups()
    else:
        *fields, name = text.split() or [""]
        rest = " ".join(fields)
        if len(fields) < FIVE or not _ZONE.fullmatch(name):
            return None
    shown = f' with "expression": "{rest}"' if readable(rest) else ""
    name = name.strip("'\"")[:_SHOWN] or "Europe/Berlin"
    return f'a zone is no part of the expression; give "timezone": "{name}"{shown}'


def _spaces(text: str) -> str | None:
    closed = _SPACED.sub(r"\1", text)
    if closed == text or not readable(closed):
        return None
    return f"spaces separate fields, so none may stand beside ',', '-' and '/'; write {closed!r}"


def _year(text: str) -> str | None:
    """Quartz has a year after the weekday, with 6 fields (of minutes first) or with 7."""
    fields = text.split()
    if len(fields) == FIVE + 2 and (_YEAR.fullmatch(fields[-1]) or fields[-1] in {"*", "?"}):
        seconds, *others = fields[:-1]
        return _YEAR_SAID + _without_year(others if seconds == "0" else fields[:-1], fields[-1:])
    if len(fields) == FIVE + 1 and _ends_with_year(fields):
        return _YEAR_SAID + _without_year(fields[:-1], fields[-1:])
    return None


_YEAR_SAID = "a year field, as Quartz and AWS have it, is not supported: leave it out"


def _ends_with_year(fields: list[str]) -> bool:
    """Return whether the weekday stands where the month does if the seconds come first."""
    if _YEAR.fullmatch(fields[-1]):
        return True
    weekday = fields[4]
    misplaced = "?" in {fields[2], weekday} or cron_fields.has_weekday_name(weekday)
    return misplaced and fields[-1] == "*"


def _without_year(fields: list[str], year: list[str]) -> str:
    text = " ".join("*" if field == "?" else field for field in fields)
    says = f"; write {text!r}" if readable(text) else ""
    if year and _YEAR.fullmatch(year[0]):
        says += ", and bound it with 'start_at' and 'end_at'"
    if fields and _WEEKDAY_NUMBER.search(fields[-1]):
        says += "; weekday 1 is Monday here, and Sunday there"
    return says


def _command(text: str) -> str | None:
    fields = text.split()
    if len(fields) <= FIVE or _LIKE_A_FIELD.fullmatch(fields[FIVE]):
        return None
    line = " ".join(fields[:FIVE])
    if not readable(line):
        return None
    return f"a user or a command is no part of the expression; write {line!r}"


def _interval(every: str) -> str:
    """Return the interval for what `@every` or `rate` names, or an example."""
    rate = _RATE.fullmatch(every.strip())
    length = f"{rate[1]}{rate[2][0].lower()}" if rate else every.strip()
    try:
        parse_duration(length)
    except ValueError:
        length = "5m"
    return f'{{"type": "interval", "every": "{length}"}}'


_FORMS: tuple[Callable[[str], str | None], ...] = (
    _quoted,
    _reboot,
    _every,
    _call,
    _zone,
    _spaces,
    _year,
    _command,
)
