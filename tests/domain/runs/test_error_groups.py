"""Groups of failures: what of a message is compared."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.domain.primitives.ids import Id
from rota.domain.runs.error_groups import (
    MOST_OF_A_MESSAGE,
    Failure,
    GroupBy,
    grouped,
    normalised,
)
from tests.support.factories import MINUTE, NOON


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("503 from app.example.com", "<n> from app.example.com"),
        ("order 0193-77 of 12,5 s at 10:00:01.5", "order <n>-<n> of <n> s at <n>"),
        ("no 018bcfe5-6800-7000-8000-00000000000a here", "no <id> here"),
        ("commit 4bf92f3577b3 and 0xFF", "commit <hex> and <hex>"),
        ("deadbeef is a word", "deadbeef is a word"),
        ("the attempt\n  took  300 s", "the attempt took <n> s"),
        ("", ""),
    ],
)
def test_what_varies_in_a_message_is_left_out(message: str, expected: str) -> None:
    assert normalised(message) == expected


_WORDS = st.sampled_from(
    [
        "a",
        "1",
        "12345678",
        "deadbeef",
        "0x",
        "-",
        ".",
        ":",
        " ",
        "<n>",
        "…",
        "018bcfe5-6800-7000-8000-00000000000a",
    ]
)


@given(st.text() | st.lists(_WORDS, max_size=300).map("".join))
def test_a_message_that_was_normalised_stays_so_and_is_short(message: str) -> None:
    once = normalised(message)

    assert normalised(once) == once
    assert len(once) <= MOST_OF_A_MESSAGE


@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_messages_that_differ_in_numbers_only_are_one(first: int, second: int) -> None:
    assert normalised(f"row {first} is locked") == normalised(f"row {second} is locked")


def _failure(
    number: int, task: str, message: str, reason: str = "error", type: str = "E"
) -> Failure:
    id = Id(f"01890000-0000-7000-8000-{number:012}")
    return Failure(id, task, reason, type, message, NOON + number * MINUTE)


def test_calls_that_fail_with_another_status_or_at_another_host_are_another_group() -> None:
    messages = ["503 from crm-1", "503 from crm-2", "404 from crm-1", "503 from crm-1"]
    failures = [
        _failure(number, "a", message, type="http.status")
        for number, message in enumerate(messages)
    ]

    groups = grouped(failures, {GroupBy.ERROR})

    counts = {each.key.message: each.count for each in groups}
    assert counts == {"503 from crm-1": 2, "404 from crm-1": 1, "503 from crm-2": 1}


def test_the_largest_group_comes_first_with_its_latest_run_as_the_example() -> None:
    failures = [
        _failure(5, "a", "locked"),
        _failure(4, "b", "row 4"),
        _failure(1, "a", "row 1", "fatal"),
        _failure(2, "a", "row 2"),
    ]

    rows, locked = grouped(failures, {GroupBy.ERROR})

    assert (rows.key.message, rows.count, dict(rows.tasks)) == ("row <n>", 3, {"a": 2, "b": 1})
    assert (rows.example, rows.first_seen) == (failures[1].run_id, NOON + MINUTE)
    assert rows.last_seen == NOON + 4 * MINUTE
    assert locked.count == 1
    by_task = grouped(failures, {GroupBy.TASK, GroupBy.REASON})
    assert [(each.key.task, each.key.reason, each.count) for each in by_task] == [
        ("a", "error", 2),
        ("b", "error", 1),
        ("a", "fatal", 1),
    ]
    assert by_task[0].last_seen - by_task[0].first_seen == timedelta(minutes=3)
