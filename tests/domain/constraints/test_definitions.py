"""Constraints: what can be asked for, what is refused, and when one is met."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from rota.domain.constraints.definitions import DAYS, Constraint, Constraints, Window
from rota.domain.constraints.descriptions import describe
from rota.domain.constraints.evaluation import (
    ConnectProbe,
    ConstraintFacts,
    DiskProbe,
    ProbeResult,
    needed_probes,
    next_change,
    places,
    shortest_deadline,
    unmet,
    waiting_on_of,
    waits_for,
)
from rota.domain.constraints.windows import is_open, next_opening
from rota.domain.tasks.definition import TaskDefinition
from rota.store.definitions import read_definition, write_definition
from tests.support.factories import HOUR, MINUTE, NOON, define

_ALL: TypeAdapter[tuple[Constraint, ...]] = TypeAdapter(Constraints)
_NIGHT = {"type": "window", "from": "22:00", "to": "06:00"}
_PORT = {"type": "reachable", "host": "db", "port": 5432}
_DISK = {"type": "min_free_disk", "bytes": "1KiB", "path": "/data"}
_READY = {"type": "kv", "key": "ready", "equals": True}
_CALM = {"type": "max_load", "load": 0.7}
_MOBILE = [
    ("battery_not_low", "max_load"),
    ("requires_battery_not_low", "max_load"),
    ("requiresBatteryNotLow", "max_load"),
    ("charging", "max_load"),
    ("requires_charging", "max_load"),
    ("device_idle", "window"),
    ("requiresDeviceIdle", "max_load"),
    ("network", "reachable"),
    ("networkType", "reachable"),
    ("requiredNetworkType", "reachable"),
    ("unmetered", "window"),
    ("metered", "window"),
    ("not_roaming", "window"),
    ("temporarily_unmetered", "window"),
    ("storage_not_low", "min_free_disk"),
    ("requiresStorageNotLow", "min_free_disk"),
    ("contentUriTriggers", "kv"),
]


def _read(*constraints: Any) -> tuple[Constraint, ...]:
    return _ALL.validate_python(list(constraints))


def _window(**fields: Any) -> Window:
    (window,) = _read({"type": "window", **fields})
    assert isinstance(window, Window)
    return window


def _faults(value: Any) -> list[tuple[tuple[Any, ...], str]]:
    with pytest.raises(ValidationError) as caught:
        _ALL.validate_python(value)
    return [(each["loc"], each["msg"]) for each in caught.value.errors()]


def _met(constraint: dict[str, Any], **facts: Any) -> bool:
    return not unmet(_read(constraint), "t", ConstraintFacts(now=NOON, **facts))


# ------------------------------------------------------------------------------------------------- what is taken


def test_a_constraint_is_named_after_its_type_unless_it_has_a_name() -> None:
    assert [each.name for each in _read(_CALM, {**_CALM, "name": "calm"})] == ["max_load", "calm"]


@pytest.mark.parametrize(
    "constraint",
    [
        _PORT,
        {"type": "reachable", "url": "https://app.example.com/healthz", "deadline": "1h"},
        _DISK,
        _CALM,
        {**_NIGHT, "days": ["fri", "mon"], "timezone": "Europe/Berlin"},
        {"type": "window", "days": ["sat", "sun"]},
        {"type": "kv", "key": "cursor", "equals": None},
        {"type": "kv", "key": "cursor", "not_equals": {"a": [1]}},
        {"type": "kv", "key": "count", "at_least": 0, "task": "other"},
        {"type": "kv", "key": "ready", "exists": False},
    ],
)
def test_what_is_stored_is_what_was_given(constraint: dict[str, Any]) -> None:
    definition = define(constraints=[constraint])

    stored = read_definition(write_definition(definition))
    sent_back = TaskDefinition.model_validate(definition.model_dump(mode="json"))

    assert stored.constraints == definition.constraints == sent_back.constraints


def test_a_predicate_that_is_not_given_is_not_shown() -> None:
    (shown,) = _ALL.dump_python(_read({"type": "kv", "key": "a", "equals": None}), mode="json")

    assert shown == {"type": "kv", "name": "kv", "key": "a", "equals": None, "deadline": None}


def test_a_window_is_shown_as_it_is_given() -> None:
    (shown,) = _ALL.dump_python(_read({**_NIGHT, "days": ["sun", "mon", "sun"]}), mode="json")

    assert (shown["from"], shown["to"], shown["days"]) == ("22:00", "06:00", ["mon", "sun"])


@pytest.mark.parametrize(
    ("given_size", "size"),
    [(1, 1), ("500", 500), ("1KiB", 1024), ("1.5 GiB", 1610612736), ("2MB", 2_000_000)],
)
def test_a_size_is_a_number_of_bytes(given_size: Any, size: int) -> None:
    (shown,) = _ALL.dump_python(_read({"type": "min_free_disk", "bytes": given_size}))

    assert shown["bytes"] == size


# ------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("constraint", "place", "message"),
    [
        ({"type": "battery"}, (0, "type"), "no battery"),
        ({"type": "weather"}, (0,), "'reachable', 'min_free_disk', 'max_load', 'window', 'kv'"),
        ({}, (0,), "discriminator 'type'"),
        ({"type": "reachable"}, (0, "reachable"), "either 'host' and 'port', or 'url'"),
        ({"type": "reachable", "host": "db"}, (0, "reachable"), "either 'host' and 'port'"),
        ({**_PORT, "url": "http://a"}, (0, "reachable"), "either 'host' and 'port', or 'url'"),
        ({**_PORT, "port": 0}, (0, "reachable", "port"), "greater than or equal to 1"),
        ({**_PORT, "host": "a b"}, (0, "reachable", "host"), "pattern"),
        ({"type": "reachable", "url": "ftp://a"}, (0, "reachable", "url"), "http or https"),
        ({"type": "reachable", "url": "http://u:p@a"}, (0, "reachable", "url"), "credentials"),
        ({**_DISK, "bytes": "much"}, (0, "min_free_disk", "bytes"), "such as '500MB'"),
        ({**_DISK, "bytes": "1 ZiB"}, (0, "min_free_disk", "bytes"), "such as '500MB'"),
        ({**_DISK, "bytes": 0}, (0, "min_free_disk", "bytes"), "greater than or equal to 1"),
        ({"type": "max_load"}, (0, "max_load", "load"), "required"),
        ({**_NIGHT, "timezone": "Mars/Base"}, (0, "window", "timezone"), "IANA time zone"),
        ({**_NIGHT, "from": "24:00"}, (0, "window", "from"), "pattern"),
        ({**_NIGHT, "opens": "08:00"}, (0, "window", "opens"), "Extra inputs"),
        ({**_NIGHT, "to": "22:00"}, (0, "window"), "'from' and 'to' are the same"),
        ({**_NIGHT, "days": []}, (0, "window", "days"), "at least 1 item"),
        ({**_NIGHT, "days": ["monday"]}, (0, "window", "days", 0), "'mon'"),
        ({"type": "kv", "key": "a"}, (0, "kv"), "exactly one of exists, equals"),
        ({**_READY, "exists": True}, (0, "kv"), "exactly one of exists, equals"),
        ({**_READY, "key": "a b"}, (0, "kv", "key"), "pattern"),
        ({**_READY, "task": "run"}, (0, "kv", "task"), "reserved"),
        ({**_CALM, "name": "pending"}, (0, "max_load", "name"), "another name"),
        ({**_CALM, "name": "a b"}, (0, "max_load", "name"), "pattern"),
        ({**_CALM, "deadline": "1 week"}, (0, "max_load", "deadline"), "not a duration"),
    ],
)
def test_a_fault_points_to_its_place(
    constraint: dict[str, Any], place: tuple[Any, ...], message: str
) -> None:
    (fault, *_) = _faults([constraint])

    assert fault[0] == place
    assert message in fault[1]


@pytest.mark.parametrize(("name", "instead"), _MOBILE)
def test_what_a_phone_can_wait_for_is_refused_with_what_to_use_instead(
    name: str, instead: str
) -> None:
    for value, place in (
        ([{"type": name}], (0, "type")),
        ([{name: True}], (0, name)),
        ([name], (0,)),
        ({name: True}, (name,)),
    ):
        ((found, message),) = _faults(value)

        assert found == place
        assert message.startswith(f"{name!r} is a constraint of mobile devices: ")
        assert f"'{instead}'" in message


def test_two_constraints_need_two_names() -> None:
    assert _faults([_CALM, _READY, {"type": "max_load", "load": 2}]) == [
        ((2, "name"), "another constraint is called 'max_load'; give this one a 'name' of its own")
    ]


def test_sixteen_constraints_are_enough() -> None:
    many = [{**_CALM, "name": f"c{number}"} for number in range(17)]

    assert len(_read(*many[:16])) == 16
    assert "at most 16" in _faults(many)[0][1]


def test_a_zone_that_is_not_known_any_more_keeps_a_window_shut_and_can_be_read() -> None:
    text = (
        '{"handler":"noop","schedule":{"type":"manual"},'
        '"constraints":[{"type":"window","timezone":"Mars/Base"}]}'
    )
    (window,) = read_definition(text).constraints

    (found,) = unmet([window], "t", ConstraintFacts(now=NOON))
    assert "Mars/Base" in found.message
    assert next_change(window, NOON) is None


# --------------------------------------------------------------------------------------------- when they are met


@pytest.mark.parametrize(
    ("predicate", "meets", "misses"),
    [
        ({"exists": True}, [None, 0, "a"], []),
        ({"exists": False}, [], [None, 0]),
        ({"equals": 1}, [1, 1.0], [True, "1", None, [1]]),
        ({"equals": None}, [None], [0, False, ""]),
        ({"equals": {"a": [1, {"b": True}]}}, [{"a": [1.0, {"b": True}]}], [{"a": [1, {"b": 1}]}]),
        ({"equals": [1]}, [[1]], [[1, 1], [], {"0": 1}]),
        ({"not_equals": 1}, [True, 2, None], [1, 1.0]),
        ({"less_than": 3}, [2, 2.9, -1], [3, True, "2", None]),
        ({"at_most": 3}, [3, 2], [3.1, "3"]),
        ({"greater_than": "2026-01"}, ["2026-02"], ["2026-01", 2027]),
        ({"at_least": 0.5}, [0.5, 1], [0.4, False]),
    ],
)
def test_an_entry_is_compared_as_json(
    predicate: dict[str, Any], meets: list[Any], misses: list[Any]
) -> None:
    constraint = {"type": "kv", "key": "a", **predicate}

    for value in meets:
        assert _met(constraint, entries={("t", "a"): value}), value
    for value in misses:
        assert not _met(constraint, entries={("t", "a"): value}), value


@pytest.mark.parametrize(
    ("predicate", "met"),
    [
        ({"exists": False}, True),
        ({"exists": True}, False),
        ({"equals": None}, False),
        ({"not_equals": 1}, True),
        ({"less_than": 1}, False),
    ],
)
def test_an_entry_that_is_not_there_is_unlike_any_value(
    predicate: dict[str, Any], met: bool
) -> None:
    assert _met({"type": "kv", "key": "a", **predicate}) is met


def test_an_entry_of_another_task_is_looked_for_there() -> None:
    constraints = _read(_READY, {**_READY, "task": "other", "name": "theirs"})

    assert places(constraints, "t") == [("t", "ready"), ("other", "ready")]
    assert _met({**_READY, "task": "other"}, entries={("other", "ready"): True})
    assert not _met({**_READY, "task": "other"}, entries={("t", "ready"): True})


def test_a_load_up_to_the_limit_is_calm() -> None:
    assert _met(_CALM, load=0.7)
    (found,) = unmet(_read(_CALM), "t", ConstraintFacts(now=NOON, load=0.71))
    assert (found.known, found.message) == (
        True,
        "the load is 0.71 per processor, and at most 0.7 is wanted",
    )


def test_nothing_is_met_that_has_not_been_checked() -> None:
    found = unmet(_read(_CALM, _PORT, _DISK), "t", ConstraintFacts(now=NOON))

    assert [each.known for each in found] == [False] * 3
    assert waiting_on_of(found) == ()
    assert shortest_deadline(found) is None


@pytest.mark.parametrize(
    ("answer", "met", "known"),
    [
        (ProbeResult(), True, True),
        (ProbeResult(fresh=False), False, False),
        (ProbeResult("connection refused"), False, True),
        (ProbeResult("connection refused", fresh=False), False, True),
    ],
)
def test_only_a_fresh_answer_lets_a_run_through(
    answer: ProbeResult, met: bool, known: bool
) -> None:
    found = unmet(
        _read(_PORT),
        "t",
        ConstraintFacts(now=NOON, results={ConnectProbe("db", 5432, None): answer}),
    )

    assert [(each.known, each.waiting_on) for each in found] == (
        [] if met else [(known, "constraint:reachable")]
    )


@pytest.mark.parametrize(("free", "met"), [(1023, False), (1024, True)])
def test_a_disk_has_room_or_not(free: int, met: bool) -> None:
    assert _met(_DISK, results={DiskProbe("/data"): ProbeResult(free=free)}) is met


def test_what_takes_time_is_checked_only_when_all_else_is_met() -> None:
    constraints = _read(_READY, _PORT, _DISK)
    shut = ConstraintFacts(now=NOON)
    opened = ConstraintFacts(now=NOON, entries={("t", "ready"): True})

    assert needed_probes(constraints, "t", shut) == []
    assert waiting_on_of(waits_for(constraints, "t", shut)) == ("constraint:kv",)
    assert needed_probes(constraints, "t", opened) == [
        ConnectProbe("db", 5432, None),
        DiskProbe("/data"),
    ]
    assert [each.known for each in waits_for(constraints, "t", opened)] == [False, False]


def test_a_run_is_patient_as_long_as_the_shortest_deadline_of_what_is_not_met() -> None:
    constraints = _read(
        {**_READY, "deadline": "2h"}, {**_CALM, "deadline": "1h"}, {**_NIGHT, "deadline": "3h"}
    )

    assert shortest_deadline(unmet(constraints, "t", ConstraintFacts(now=NOON, load=9.0))) == HOUR
    assert (
        shortest_deadline(unmet(constraints, "t", ConstraintFacts(now=NOON, load=0.1))) == 2 * HOUR
    )


@pytest.mark.parametrize(
    ("constraint", "text"),
    [
        (_PORT, "db:5432 answers"),
        ({"type": "reachable", "host": "::1", "port": 1}, "[::1]:1 answers"),
        ({"type": "reachable", "url": "http://a.b/c?token=d"}, "http://a.b answers"),
        ({"type": "reachable", "url": "http://a.b?token=d"}, "http://a.b answers"),
        (_DISK, "at least 1 KiB are free on the disk of '/data'"),
        (_CALM, "the load per processor is at most 0.7"),
        (_NIGHT, "it is 22:00 to 06:00 in UTC"),
        ({**_NIGHT, "days": ["fri"]}, "it is 22:00 to 06:00 on fri in UTC"),
        (_READY, "entry 'ready' equals true"),
        ({"type": "kv", "task": "x", "key": "a", "exists": False}, "entry 'a' of task 'x' is not"),
        ({"type": "kv", "key": "a", "at_most": "b"}, "entry 'a' at most \"b\""),
    ],
)
def test_a_constraint_is_described_in_plain_english(constraint: dict[str, Any], text: str) -> None:
    assert describe(_read(constraint)[0]).startswith(text)


# ---------------------------------------------------------------------------------------------------------- windows


@pytest.mark.parametrize(
    ("at", "open_"),
    [
        ("2026-03-09T21:59", False),  # Monday
        ("2026-03-09T22:00", True),
        ("2026-03-10T00:00", True),
        ("2026-03-10T05:59", True),
        ("2026-03-10T06:00", False),
        ("2026-03-10T22:00", False),
        ("2026-03-09T05:00", False),
    ],
)
def test_a_window_that_passes_midnight_belongs_to_the_day_on_which_it_opens(
    at: str, open_: bool
) -> None:
    now = datetime.fromisoformat(at).replace(tzinfo=UTC)

    assert is_open(_window(**{"from": "22:00", "to": "06:00", "days": ["mon"]}), now) is open_


def test_the_message_of_a_closed_window_says_when_it_opens() -> None:
    window = _window(**{"from": "08:00", "to": "18:00", "timezone": "Asia/Kolkata"})

    (found,) = unmet([window], "t", ConstraintFacts(now=datetime(2026, 3, 10, 12, 31, tzinfo=UTC)))

    assert found.message == (
        "waits until it is 08:00 to 18:00 in Asia/Kolkata; it opens at 2026-03-11T02:30:00.000Z"
    )


def test_a_window_that_begins_in_a_gap_opens_when_the_gap_ends() -> None:
    window = _window(**{"from": "02:30", "to": "04:00", "timezone": "Europe/Berlin"})
    midnight = datetime(2026, 3, 29, tzinfo=UTC)

    assert next_opening(window, midnight) == datetime(2026, 3, 29, 1, tzinfo=UTC)


def test_a_window_that_lies_in_a_gap_does_not_open_that_day() -> None:
    window = _window(
        **{"from": "02:15", "to": "02:45", "days": ["sun"], "timezone": "Europe/Berlin"}
    )
    saturday = datetime(2026, 3, 28, tzinfo=UTC)

    assert next_opening(window, saturday) == datetime(2026, 4, 5, 0, 15, tzinfo=UTC)


def test_an_hour_that_is_shown_twice_is_open_twice() -> None:
    window = _window(**{"from": "02:00", "to": "02:30", "timezone": "Europe/Berlin"})
    between = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)

    assert is_open(window, between - MINUTE)
    assert not is_open(window, between)
    assert next_opening(window, between) == datetime(2026, 10, 25, 1, tzinfo=UTC)


_ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu")
# Days around which the zones above change their clocks, and one on which none does.
_DATES = [date(2026, 3, 7), date(2026, 3, 28), date(2026, 4, 4), date(2026, 10, 3)]
_DATES += [date(2026, 10, 24), date(2026, 10, 31), date(2026, 7, 1)]
_TIMES = st.times().map(lambda at: at.replace(second=0, microsecond=0))


def _naive(window: Window, local: datetime) -> bool:
    """The definition, minute by minute, in another way: a window that passes midnight is two."""
    opens, closes = window.opens, window.closes
    shown, day = f"{local:%H:%M}", DAYS[local.weekday()]
    if opens < closes:
        return day in window.days and opens <= shown < closes
    evening = day in window.days and shown >= opens
    day_before = DAYS[(local - timedelta(days=1)).weekday()]
    return evening or (day_before in window.days and shown < closes)


@settings(max_examples=60, deadline=None)
@given(
    zone=st.sampled_from(_ZONES),
    day=st.sampled_from(_DATES),
    start=st.integers(0, 2 * 24 * 60 * 60),
    opens=_TIMES,
    closes=_TIMES,
    days=st.sets(st.sampled_from(DAYS), min_size=1),
)
@example("Europe/Berlin", date(2026, 10, 24), 90_000, time(2, 30), time(2, 0), {"sat", "sun"})
def test_a_window_opens_when_a_look_at_every_minute_says_so(
    zone: str, day: date, start: int, opens: time, closes: time, days: set[Any]
) -> None:
    if opens == closes:
        closes = opens.replace(minute=(opens.minute + 1) % 60)
    window = _window(
        **{"from": f"{opens:%H:%M}", "to": f"{closes:%H:%M}", "days": list(days), "timezone": zone}
    )
    now = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(seconds=start)
    minute, tz = now.replace(second=0), ZoneInfo(zone)

    looked = (minute + step * MINUTE for step in range(9 * 24 * 60))
    found = next((at for at in looked if _naive(window, at.astimezone(tz))), None)

    assert is_open(window, now) is (found == minute)
    if found is not None:
        assert next_opening(window, now) == max(found, now)
