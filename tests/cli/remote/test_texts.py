"""What is read and written without a service: YAML, times, selectors, schedules in a few words."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from rota.cli.remote.documents import reading
from rota.cli.remote.documents.reading import DocumentError, parse_documents, parse_value
from rota.cli.remote.text import times
from rota.cli.remote.text.schedules import short
from rota.cli.remote.text.selectors import HOLDS, TASKS, SelectorError, as_query, parse_selector

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
EAST = timezone(timedelta(hours=2))


@pytest.fixture
def in_the_east(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the machine be two hours ahead of UTC."""
    monkeypatch.setenv("TZ", "EAST-2")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on: [succeeded]", {"on": ["succeeded"]}),
        ("time: 10:00", {"time": "10:00"}),
        ("at: 2026-12-25", {"at": "2026-12-25"}),
        ("at: 2026-12-24T17:30:00+01:00", {"at": "2026-12-24T17:30:00+01:00"}),
        ("country: no", {"country": "no"}),
        ("paused: true\nnot: false", {"paused": True, "not": False}),
        ("none: null\nempty:\nalso: ~", {"none": None, "empty": None, "also": None}),
        ("a: 5\nb: -1.5\nc: 1e3\nd: 007\ne: 1_000", {"a": 5, "b": -1.5, "c": 1000.0, "d": "007", "e": "1_000"}),
        ('{"a": 1.0, "big": 123456789012345678901234567890}', {"a": 1.0, "big": 123456789012345678901234567890}),
        ("base: &b {x: 1}\nother: {<<: *b, y: 2}", {"base": {"x": 1}, "other": {"x": 1, "y": 2}}),
    ],
)  # fmt: skip
def test_yaml_has_the_values_that_json_would_have(text: str, value: Any) -> None:
    assert parse_documents(text, "x") == [value]


def test_documents_of_a_file_are_separated_by_dashes() -> None:
    assert parse_documents("a: 1\n---\n---\nb: 2\n", "x") == [{"a": 1}, {"b": 2}]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\na: 2", "x, line 2, column 1: 'a' is there twice."),
        ('{"a": 1, "a": 2}', "'a' is there twice"),
        ("1: one", "a name must be text; write it in quotes: 1"),
        ("a: [1", "x, line 1, column 6: expected ',' or ']'"),
        ("a: 1e999", "the number is too large"),
        ("a: !!python/name:os.system x", "could not determine a constructor"),
        ("[" * 1_200, "x, "),
    ],
)
def test_what_is_no_document_is_refused_with_its_place(text: str, words: str) -> None:
    with pytest.raises(DocumentError) as raised:
        parse_documents(text, "x")

    assert words in str(raised.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")

    with pytest.raises(DocumentError, match=r"nothing\.yaml: No such file or directory\."):
        reading.read_documents(str(tmp_path / "nothing.yaml"))
    with pytest.raises(DocumentError, match=r"binary is no text in UTF-8\."):
        reading.read_documents(str(tmp_path / "binary"))


@pytest.mark.parametrize(
    ("text", "value"), [("5", 5), ('"5"', "5"), ("five", "five"), ("a {", "a {"), ("NaN", "NaN")]
)
def test_an_argument_is_json_or_text(text: str, value: Any) -> None:
    assert parse_value(text) == value


@pytest.mark.parametrize("text", ["{", '{"a": 1', " [1,", "{a: 1}"])
def test_an_argument_that_begins_as_an_object_or_a_list_is_json(text: str) -> None:
    with pytest.raises(DocumentError, match="is not JSON"):
        parse_value(text)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("24h", datetime(2026, 3, 9, 14, tzinfo=EAST)),
        ("1d12h", datetime(2026, 3, 9, 2, tzinfo=EAST)),
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=EAST)),
        ("2026-03-01T09:30", datetime(2026, 3, 1, 9, 30, tzinfo=EAST)),
        ("2026-03-01T09:30:00Z", datetime(2026, 3, 1, 9, 30, tzinfo=UTC)),
    ],
)
def test_a_time_is_so_long_ago_or_a_time_of_this_zone(
    text: str, at: datetime, in_the_east: None
) -> None:
    assert times.parse_instant(text, NOON) == at


@pytest.mark.parametrize(
    "text", ["", "5", "yesterday", "h", "24 h", "-1h", "2026-13-01", "9" * 30 + "d"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        times.parse_instant(text, NOON)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.0354, "35ms"),
        (3.42, "3.4s"),
        (59.4, "59s"),
        (61, "1m1s"),
        (4_800, "1h20m"),
        (86_400, "1d"),
    ],
)
def test_durations_have_their_two_largest_units(seconds: float | None, text: str) -> None:
    assert times.short_duration(seconds) == text


def test_times_are_shown_by_their_distance(in_the_east: None) -> None:
    assert times.relative("2026-03-10T11:55:00.000Z", NOON) == "5m ago"
    assert times.relative("2026-03-10T15:00:00.000Z", NOON) == "in 3h"
    assert times.relative("2026-03-10T12:00:00.400Z", NOON) == "now"
    assert times.local("2026-03-10T11:55:00.000Z") == "2026-03-10 13:55:00"


def test_selectors_are_texts_with_a_name() -> None:
    texts = ["tag=a,b", "tag=c", "name_prefix=shop-", "status=paused"]

    selector = parse_selector(texts, TASKS)

    assert selector == {"tags": ["a", "b", "c"], "name_prefix": "shop-", "status": ["paused"]}
    assert as_query(selector) == {
        "tag": ["a", "b", "c"],
        "name_prefix": "shop-",
        "status": ["paused"],
    }
    assert parse_selector(["all"], HOLDS) == {"all": True}


@pytest.mark.parametrize(
    "texts",
    [
        [],
        ["all", "tag=a"],
        ["tag"],
        ["tag="],
        ["colour=red"],
        ["name_prefix=a", "name_prefix=b"],
        ["tag=,"],
    ],
)
def test_what_is_no_selector_is_refused(texts: list[str]) -> None:
    with pytest.raises(SelectorError):
        parse_selector(texts, TASKS)


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        ({"type": "cron", "expression": "0 9 * * 1-5", "timezone": "Europe/Berlin"}, "0 9 * * 1-5 Europe/Berlin"),
        ({"type": "cron", "expression": "@daily", "timezone": "UTC"}, "@daily"),
        ({"type": "interval", "every": 5400}, "every 1h30m"),
        ({"type": "calendar", "unit": "day", "step": 2, "time": "09:00", "timezone": "UTC"}, "every 2 days at 09:00"),
        ({"type": "once", "delay": "2h"}, "once, after 2h"),
        ({"type": "once", "at": "2026-12-24T17:30:00Z"}, "once, 2026-12-24T17:30:00Z"),
        ({"type": "after", "tasks": ["a", "b"]}, "after a, b"),
        ({"type": "any_of", "schedules": [{"type": "interval", "every": 60}, {"type": "manual"}]}, "every 1m | manual"),
        ({"type": "lunar"}, "lunar"),
    ],
)  # fmt: skip
def test_a_schedule_is_a_few_words(schedule: dict[str, Any], text: str) -> None:
    assert short(schedule) == text
