"""What the pages of runs compute: texts of groups, filters, diffs, timelines."""

from datetime import UTC, datetime
from typing import Any

import pytest

from rota.web.charts.of_run import MOST_DRAWN, chart, phase_bar, spans_of
from rota.web.entries.diffs import diff_of
from rota.web.error_texts import common_text
from rota.web.lists.run_filters import RunFilters, WrongWindowError

NOW = datetime(2026, 11, 29, 8, 0, tzinfo=UTC)


def at(second: float) -> str:
    return f"2026-11-29T07:00:{second:06.3f}Z"


# ------------------------------------------------------------------------------------------------------- groups
@pytest.mark.parametrize(
    ("grouped", "example", "text"),
    [
        ("no such customer", "no such customer", "no such customer"),
        ("customer <n> is blocked", "customer 17 is blocked", "is blocked"),
        ("<n> from app.example.com", "503 from app.example.com", "from app.example.com"),
        ("first line second one", "first line\nsecond one", "first line"),
        ("<n>", "17", None),
        ("<n> a", "17 a", None),
        ("", "", None),
    ],
)
def test_the_text_of_a_group_is_in_all_of_its_messages(
    grouped: str, example: str, text: str | None
) -> None:
    assert common_text(grouped, example) == text


# ------------------------------------------------------------------------------------------------------ filters
@pytest.mark.parametrize(
    ("status", "bound"),
    [
        ("failed", "finished_from"),
        ("failed,cancelled", "finished_from"),
        ("failed,running", "scheduled_from"),
        ("", "scheduled_from"),
    ],
)
def test_a_window_bounds_the_end_where_only_ended_runs_are_wanted(status: str, bound: str) -> None:
    asked = RunFilters.of({"status": status, "window": "1h"}).asked(NOW)

    assert asked[bound] == "2026-11-29T07:00:00.000Z"


@pytest.mark.parametrize("window", ["soon", "-1h", "200y", "9" * 30])
def test_a_window_that_is_no_length_is_refused(window: str) -> None:
    with pytest.raises(WrongWindowError, match="The window"):
        RunFilters.of({"window": window}).asked(NOW)


def test_a_selector_has_the_filters_of_the_list() -> None:
    filters = RunFilters.of(
        {
            "task": "a,b",
            "tag": "x",
            "error_text": "a, b",
            "finished_to": "2026-11-28",
            "cursor": "c",
        }
    )

    assert filters.selector(NOW, "Europe/Berlin") == {
        "task": ["a", "b"],
        "tags": ["x"],
        "error_text": "a, b",
        "finished_to": "2026-11-28T22:59:59.999Z",
    }
    assert RunFilters.of({}).selector(NOW, None) == {"all": True}


# -------------------------------------------------------------------------------------------------------- diffs
def changed(before: Any, after: Any, *, known: bool = True) -> dict[str, Any]:
    shown = [None if each is None else {"value": each} for each in (before, after)]
    return {"key": "k", "before": shown[0], "after": shown[1], "before_is_known": known}


def test_a_change_is_shown_line_by_line_with_exact_numbers() -> None:
    diff = diff_of(changed({"a": 1, "b": 2**60}, {"a": 2, "b": 2**60}))

    assert diff.kind == "changed"
    assert ("removed", '-  "a": 1,') in diff.lines
    assert ("added", '+  "a": 2,') in diff.lines
    assert ("same", f'   "b": {2**60}') in diff.lines


@pytest.mark.parametrize(
    ("change", "kind", "lines"),
    [
        (changed(None, 1), "new", ["+1"]),
        (changed(1, None), "removed", ["-1"]),
        (changed(1, 1), "changed", []),
        (
            changed(None, 1, known=False),
            "written; what it was before is not known any more",
            ["+1"],
        ),
    ],
)
def test_what_is_new_or_gone_is_said(change: Any, kind: str, lines: list[str]) -> None:
    diff = diff_of(change)

    assert (diff.kind, [text for _, text in diff.lines]) == (kind, lines)


def test_large_values_are_shown_by_their_beginnings() -> None:
    diff = diff_of(changed("x" * 30_000, "y" * 30_000))

    assert [len(text) < 500 for _, text in diff.lines] == [True, True]


# ----------------------------------------------------------------------------------------------------- timeline
def run_with(*attempts: tuple[float, float | None], trigger: str = "schedule") -> dict[str, Any]:
    last = attempts[-1][1] if attempts else None
    return {
        "trigger": trigger,
        "scheduled_for": at(0),
        "created_at": at(1),
        "finished_at": None if last is None else at(last),
        "attempts": [
            {
                "attempt": number,
                "outcome": None if end is None else "failed",
                "counted": True,
                "started_at": at(start),
                "finished_at": None if end is None else at(end),
                "error": None,
                "timings": {"wait": 0.3, "dns": 0.1},
            }
            for number, (start, end) in enumerate(attempts, 1)
        ],
    }


def test_a_run_waits_between_its_attempts() -> None:
    spans = spans_of(run_with((2, 3), (7, 7.5)), NOW)

    assert [(each.waited, each.seconds) for each in spans] == [(2, 1), (4, 0.5)]
    assert [name for name, _ in spans[0].phases] == ["dns", "wait"]


def test_a_rerun_waits_since_it_was_made() -> None:
    (span,) = spans_of(run_with((2, 3), trigger="rerun"), NOW)

    assert span.waited == 1


def test_a_picture_says_what_it_shows_and_is_never_empty() -> None:
    run = run_with((2, 3), (7, None))
    spans = spans_of(run, NOW)

    picture = chart(run, spans, NOW)

    assert 'aria-label="waited 2.0 s, attempt 1 failed after 1.0 s; waited 4.0 s' in picture
    assert picture.count("<rect") == 4
    assert 'class="wait"' in chart(run_with(), [], NOW)
    assert phase_bar(spans[0]).count("<rect") == 2


def test_of_many_attempts_the_latest_are_drawn() -> None:
    run = run_with(*((number / 10, number / 10 + 0.05) for number in range(MOST_DRAWN + 10)))

    assert chart(run, spans_of(run, NOW), NOW).count('class="bad"') == MOST_DRAWN
