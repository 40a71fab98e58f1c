"""Schedules of every kind for property tests."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from hypothesis import strategies as st
from pydantic import TypeAdapter

from rota.domain.fire_time import FireTime
from rota.domain.schedules.base import Anchor
from rota.domain.schedules.definitions import Schedule
from rota.domain.schedules.fire_times import fire_times
from tests.support.factories import DAY, NOON

ADAPTER: TypeAdapter[Any] = TypeAdapter(Schedule)
SECOND = timedelta(seconds=1)
ANCHOR = Anchor(NOON, "a-task")


def read(**fields: Any) -> Any:
    """Read a schedule as a client sends it."""
    return ADAPTER.validate_python(fields)


def take(schedule: Any, after: datetime, number: int) -> list[FireTime]:
    """Return the first fire times after `after`, those that are only recorded included."""
    return list(islice(fire_times(schedule, ANCHOR, after), number))


def _some(**strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Draw some of these fields."""
    return st.fixed_dictionaries({}, optional=strategies)


def _near(most: int) -> st.SearchStrategy[str]:
    return st.integers(-most, most).map(lambda seconds: (NOON + seconds * SECOND).isoformat())


def _dates() -> st.SearchStrategy[Any]:
    days = st.integers(-3, 40).map(lambda number: (NOON + number * DAY).date().isoformat())
    spans = st.tuples(days, days).map(lambda ends: {"from": min(ends), "to": max(ends)})
    instants = st.tuples(_near(100_000), st.integers(1, 50_000)).map(
        lambda span: {
            "from": span[0],
            "to": (datetime.fromisoformat(span[0]) + span[1] * SECOND).isoformat(),
        }
    )
    return st.lists(days | spans | instants, max_size=3)


ZONES = st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/Santiago"])
_DST = _some(gap=st.sampled_from(["shift", "skip"]), fold=st.sampled_from(["first", "both"]))
_BOUNDS = _some(start_at=_near(50_000)) | st.integers(0, 2_000_000).map(
    lambda seconds: {"end_at": (NOON + seconds * SECOND).isoformat()}
)
_COMMON = st.builds(
    lambda bounds, others: bounds | others,
    _BOUNDS,
    _some(jitter=st.sampled_from([0.002, 1, 90, 4_000, 100_000]), exclude=_dates()),
)
_GRIDS = st.builds(
    lambda every, origin: {"type": "interval", "every": every} | origin,
    st.integers(1, 10_000) | st.floats(1, 1_000),
    st.just({})
    | _near(100_000).map(lambda at: {"anchor": at})
    | st.integers(0, 50_000).map(lambda delay: {"initial_delay": delay}),
)
_CRON_RULES = st.builds(
    lambda expression, zone, dst: {
        "type": "cron",
        "expression": expression,
        "timezone": zone,
        "dst": dst,
    },
    st.sampled_from(
        ["* * * * *", "*/7 * * * *", "30 2 * * *", "*/25 * * * * *", "0 */2 * * *", "15 0 1 * 5"]
    ),
    ZONES,
    _DST,
)
_DAYS: list[dict[str, Any]] = [
    {"unit": "day"},
    {"unit": "week", "day": ["mon", "thu"]},
    {"unit": "month", "day": [1, 31, "last"]},
    {"unit": "month", "day": 30, "missing_day": "last"},
    {"unit": "year", "day": ["03-29", "10-25"]},
]
_CALENDAR_RULES = st.builds(
    lambda days, step, time, zone, dst: {
        "type": "calendar",
        **days,
        "step": step,
        "time": time,
        "timezone": zone,
        "dst": dst,
    },
    st.sampled_from(_DAYS),
    st.integers(1, 3),
    st.sampled_from(["00:00", "02:15", "02:45:30", "23:59:59"]),
    ZONES,
    _DST,
)
_ONCE_RULES = _near(10_000).map(lambda at: {"type": "once", "at": at}) | st.integers(0, 9_999).map(
    lambda delay: {"type": "once", "delay": delay}
)


def _with(
    rules: st.SearchStrategy[dict[str, Any]], fields: st.SearchStrategy[dict[str, Any]]
) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(lambda rule, more: rule | more, rules, fields)


def _flexed(rule: dict[str, Any], part: float) -> dict[str, Any]:
    rest = {name: value for name, value in rule.items() if name != "jitter"}
    return rest | {"flex": max(rule["every"] * part, 0.001)}


_FLEXED = st.builds(_flexed, _with(_GRIDS, _COMMON), st.floats(0.001, 1))
_MEMBERS = _with(_GRIDS | _CRON_RULES | _CALENDAR_RULES, _COMMON) | _ONCE_RULES | _FLEXED
_UNIONS = st.lists(_MEMBERS, min_size=1, max_size=3).map(
    lambda members: {"type": "any_of", "schedules": members}
)


def _fires(fields: dict[str, Any]) -> bool:
    """Leave out what a registration would refuse because it never fires."""
    if fields["type"] == "any_of":
        return all(_fires(member) for member in fields["schedules"])
    end_at = fields.get("end_at")
    return end_at is None or fields.get("anchor", end_at) <= end_at


def _read_all(rules: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[Any]:
    return rules.filter(_fires).map(ADAPTER.validate_python)


INTERVALS = _read_all(_GRIDS)
CRONS = _read_all(_CRON_RULES)
ONCES = _read_all(_ONCE_RULES)
#: Without bounds, exclusions and spreading: all of their fire times run, and there is always a first one.
SCHEDULES = INTERVALS | CRONS | ONCES
#: Intervals whose fire times are counted by arithmetic.
GRIDS = _read_all((_with(_GRIDS, _COMMON) | _FLEXED).map(lambda rule: rule | {"exclude": []}))
#: Everything that has fire times, with everything that it may have.
ALL = _read_all(_MEMBERS | _with(_UNIONS, _COMMON))
AGES = st.integers(0, 20_000).map(lambda seconds: timedelta(seconds=seconds))
#: Instants to look from: around the registration, and around changes of the clocks in Berlin, Santiago and Lord Howe.
STARTS = st.builds(
    lambda near, seconds: near + seconds * SECOND,
    st.sampled_from(
        [
            NOON,
            *(datetime(2026, *day, 6, tzinfo=UTC) for day in ((3, 29), (10, 25), (4, 4), (9, 6))),
        ]
    ),
    st.integers(-100_000, 100_000),
)
