"""Explanations: the requested time, and the message."""

import re
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from rota.domain.explain import time_slot
from rota.domain.explain.model import MEANINGS, Explanation, Facts, Verdict
from rota.domain.explain.run import of_run
from rota.domain.explain.task import explain_at, explain_now
from rota.domain.explain.time_slot import fire_before, slot_at
from rota.domain.reasons import CancelReason, FailReason, SkipReason
from rota.domain.runs.model import Run
from rota.domain.runs.status import RunStatus, Trigger
from rota.domain.schedules.definitions import Unreadable
from rota.domain.schedules.fire_times import fire_times
from rota.domain.tasks.definition import TaskStatus
from rota.errors import Unplannable
from tests.domain.lint.test_rules import ALL_CODES
from tests.domain.runs.test_upcoming import DAILY, task_of
from tests.domain.schedules.rules import ALL, read, take
from tests.support.factories import DAY, HOUR, MINUTE, NOON, numbered

SECOND = timedelta(seconds=1)
NINE = NOON + 21 * HOUR


def ask(task: Any, at: Any, now: Any = NOON) -> Explanation:
    return explain_at(Facts(task=task, now=now), slot_at(task, at))


def a_run(status: RunStatus, reason: str | None = None, **fields: Any) -> Run:
    defaults: dict[str, Any] = dict.fromkeys(Run.__dataclass_fields__)
    return Run(
        **defaults
        | {
            "id": numbered(2),
            "trigger": Trigger.SCHEDULE,
            "scheduled_for": NOON,
            "count": 1,
            "waiting_on": (),
            "failures": 0,
            "attempt": 1,
            "finished_at": NOON,
        }
        | fields
        | {"status": status, "reason": reason}
    )


@pytest.mark.parametrize(
    ("fields", "offset", "fires"),
    [
        (DAILY, 0 * SECOND, True),
        (DAILY, 59 * SECOND, True),
        (DAILY, MINUTE, False),
        (DAILY, -SECOND, False),
        (DAILY | {"expression": "0 0 9 * * *"}, 30 * SECOND, False),
        ({"type": "calendar", "unit": "day", "time": "09:00"}, 30 * SECOND, True),
        ({"type": "calendar", "unit": "day", "time": "09:00:10"}, 10 * SECOND, True),
        ({"type": "calendar", "unit": "day", "time": "09:00:10"}, 11 * SECOND, False),
        ({"type": "interval", "every": "1h"}, 30 * SECOND, True),
        ({"type": "interval", "every": "1h", "anchor": "2026-01-01T00:00:30Z"}, MINUTE / 2, True),
        ({"type": "interval", "every": 90}, 30 * SECOND, False),
        ({"type": "once", "at": "2026-03-11T09:00:00Z"}, SECOND / 2, True),
        ({"type": "once", "at": "2026-03-11T09:00:00Z"}, SECOND, False),
        ({"type": "any_of", "schedules": [DAILY]}, 30 * SECOND, True),
        ({"type": "manual"}, 0 * SECOND, False),
    ],
)
def test_a_question_is_about_the_minute_or_the_second_as_exact_as_the_rule(
    fields: dict[str, Any], offset: timedelta, fires: bool
) -> None:
    assert (slot_at(task_of(read(**fields)), NINE + offset).fire is not None) == fires


def test_a_fire_time_that_was_moved_belongs_to_the_time_that_it_was_moved_from() -> None:
    for fields in (
        DAILY | {"jitter": "2h"},
        {"type": "interval", "every": "1d", "anchor": "2026-03-11T09:00:00Z", "flex": "2h"},
    ):
        task = task_of(read(**fields))
        (moved,) = take(read(**fields), NINE + 20 * HOUR, 1)
        assert moved.at != NINE + DAY

        assert slot_at(task, NINE + DAY).fire == moved
        assert slot_at(task, moved.at).fire == moved
        assert slot_at(task, NINE + DAY - 4 * HOUR).fire is None


@given(ALL)
@settings(deadline=None, max_examples=50)
def test_every_fire_time_is_found_when_it_is_asked_for(schedule: Any) -> None:
    task = task_of(schedule)
    for time in take(schedule, NOON, 3):
        slot = slot_at(task, time.at)

        assert slot.fire is not None
        assert slot.start <= slot.fire.at < slot.end
        assert slot.start <= time.at < slot.end


@given(ALL)
@settings(deadline=None, max_examples=50)
def test_the_fire_time_before_a_time_is_the_last_one_before_it(schedule: Any) -> None:
    times = [time.at for time in take(schedule, NOON, 5)]

    for earlier, later in pairwise(times):
        assert fire_before(task_of(schedule), later) == earlier


@pytest.mark.parametrize("ended", [3 * MINUTE, 5 * HOUR, 40 * DAY, 400 * DAY])
def test_the_last_of_very_many_fire_times_is_found_without_going_through_them(
    ended: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = NOON + 2_000 * DAY
    task = task_of(read(type="interval", every=1, end_at=end.isoformat()))
    looks = 0

    def counted(*given: Any) -> Any:
        nonlocal looks
        for time in fire_times(*given):
            looks += 1
            assert looks < 1_000, "it goes through all of them"
            yield time

    monkeypatch.setattr(time_slot, "fire_times", counted)

    assert fire_before(task, end + ended) == end


def test_there_is_no_fire_time_before_the_registration() -> None:
    task = task_of(read(**DAILY))

    assert fire_before(task, NINE) is None
    assert fire_before(task, NINE + 1000 * DAY) == NINE + 999 * DAY


def test_a_fire_time_that_another_replaces_is_explained_as_moved() -> None:
    by_hand = task_of(
        read(**DAILY), next_fire_at=NOON + HOUR, overrides_at=NINE, moved_to_at=NOON + HOUR
    )

    moved = ask(by_hand, NINE)

    assert (moved.verdict, moved.reason, moved.expected) == ("moved", "next_fire_at", False)
    assert "2026-03-10T13:00:00.000Z" in moved.message
    assert ask(by_hand, NOON + HOUR).verdict == "in_future"
    assert ask(by_hand, NINE + DAY).verdict == "in_future"
    now = explain_now(Facts(task=by_hand, now=NOON))
    assert "2026-03-10T13:00:00.000Z (set by next_fire_at)" in now.message


def test_a_time_without_fire_time_names_those_around_it() -> None:
    found = ask(task_of(read(**DAILY)), NINE + 3 * DAY + HOUR)

    assert (found.verdict, found.expected) == ("not_scheduled", False)
    assert "before is 2026-03-14T09:00:00.000Z" in found.message
    assert "after is 2026-03-15T09:00:00.000Z" in found.message


def test_a_rule_without_any_fire_time_has_none_to_name() -> None:
    over = read(**DAILY, end_at="2026-03-01T00:00:00Z")
    paused = task_of(over, next_fire_at=None, status=TaskStatus.PAUSED)

    found = ask(paused, NOON)

    assert (found.verdict, found.expected) == ("not_scheduled", False)
    assert found.message == "The schedule has no fire time at 2026-03-10T12:00:00.000Z."


def test_a_fire_time_later_in_the_minute_that_is_asked_for_is_not_due_yet() -> None:
    half_past = task_of(read(type="interval", every="1h", anchor="2026-03-10T13:00:30Z"))
    begun, come = NOON + HOUR, NOON + HOUR + 40 * SECOND

    found = ask(half_past, begun, now=begun + 10 * SECOND)

    assert (found.verdict, found.expected) == ("in_future", True)
    assert found.message == "It fires at 2026-03-10T13:00:30.000Z."
    assert ask(half_past, begun, now=come).verdict == "due"
    assert ask(half_past, begun + 50 * SECOND, now=come).verdict == "due"


def test_a_schedule_with_excluded_times_only_is_explained() -> None:
    forever = {"from": "2026-01-01", "to": "8999-01-01"}
    task = task_of(read(**DAILY, exclude=[forever], end_at="2026-05-01T00:00:00Z"))

    found = explain_now(Facts(task=task, now=NOON))

    assert (found.verdict, found.reason) == ("not_due", "excluded")


def test_an_excluded_fire_time_that_has_come_is_not_said_to_be_due() -> None:
    half_an_hour = {"from": NOON.isoformat(), "to": (NOON + 30 * MINUTE).isoformat()}
    every_minute = {"type": "cron", "expression": "* * * * *"}
    task = task_of(read(**every_minute, exclude=[half_an_hour]), next_fire_at=NOON)

    found = explain_now(Facts(task=task, now=NOON + SECOND))
    of_the_time = ask(task, NOON, now=NOON + SECOND)
    behind = explain_now(Facts(task=task, now=NOON + HOUR))

    assert (found.verdict, found.expected) == ("not_due", False)
    assert "2026-03-10T12:30:00.000Z" in found.message
    assert (of_the_time.verdict, of_the_time.expected) == ("skipped", False)
    assert (behind.verdict, behind.expected) == ("due", True)
    assert behind.message.startswith("2026-03-10T12:30:00.000Z has come")


def test_a_skipped_gap_of_the_clocks_is_explained() -> None:
    schedule = read(
        type="cron", expression="30 2 * * *", timezone="Europe/Berlin", dst={"gap": "skip"}
    )
    (time,) = (each for each in take(schedule, NOON, 30) if each.skip is not None)

    found = ask(task_of(schedule), time.at)

    assert (found.verdict, found.reason, found.expected) == ("skipped", "dst_gap", False)


def test_a_task_that_cannot_be_planned_says_so() -> None:
    paused = task_of(
        Unreadable(reason="from another version"),
        next_fire_at=NOON,
        status=TaskStatus.PAUSED,
        status_reason="unplannable",
    )

    assert explain_now(Facts(task=paused, now=NOON)).verdict == "unplannable"
    with pytest.raises(Unplannable):
        slot_at(paused, NOON)


def test_the_end_of_a_fixed_delay_is_asked_for_by_its_next_fire_time() -> None:
    schedule = read(type="interval", every=60, mode="fixed_delay")
    task = task_of(schedule, next_fire_at=NOON + 7 * MINUTE)

    assert ask(task, NOON + 7 * MINUTE).verdict == "in_future"
    assert ask(task, NOON + 8 * MINUTE).verdict == "not_scheduled"


def test_every_verdict_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Verdict)


def test_there_are_words_for_every_way_in_which_a_run_can_end() -> None:
    facts = Facts(task=task_of(read(**DAILY)), now=NOON)
    ends = [
        *((RunStatus.SKIPPED, reason) for reason in SkipReason),
        *((RunStatus.FAILED, reason) for reason in FailReason),
        *((RunStatus.CANCELLED, reason) for reason in CancelReason),
    ]

    explained = [of_run(facts, NOON, a_run(*end), expected=True) for end in ends]

    assert [each.reason for each in explained] == [reason for _, reason in ends]
    assert len({each.message for each in explained}) == len(ends)
    assert all(each.message.endswith(".") or "rerun" in each.message for each in explained)


def test_a_run_of_a_time_answers_whatever_the_rule_says_now() -> None:
    task = replace(task_of(read(**DAILY)), anchored_at=NOON + DAY)
    run = a_run(RunStatus.SKIPPED, "misfire", scheduled_until=NOON + HOUR, count=60)

    found = explain_at(Facts(task=task, now=NOON + DAY, run=run), slot_at(task, NOON + MINUTE))

    assert (found.verdict, found.reason, found.run) == ("skipped", "misfire", run)
    assert "60 fire times" in found.message


def test_the_document_lists_every_verdict_and_every_warning() -> None:
    text = (Path(__file__).parents[3] / "docs/reference/tasks/explain.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", text, re.MULTILINE))

    assert {verdict: rows.get(verdict) for verdict in MEANINGS} == MEANINGS
    documented = {*ALL_CODES, "timeout_longer_than_interval", "handler_missing", "excluded"}
    documented |= {
        "encoded_twice",
        "literal_template",
        "no_public_url",
        "no_retry",
        "plain_secret",
        "too_costly",
    }
    documented |= {"nobody_notified", "notified_cancelled", "notified_missing", "notified_paused"}
    assert documented | {"unplannable"} | set(MEANINGS) == set(rows)
