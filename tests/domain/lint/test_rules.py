"""Lint: misleading rules have warnings, and no others."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rota.domain.fire_time import TICK
from rota.domain.lint.definition import handler_missing, lint_definition
from rota.domain.lint.dst_changes import AHEAD
from rota.domain.lint.rules import left_out, lint
from rota.domain.primitives.finding import Finding
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Failed
from rota.domain.runs.run_facts import RunFacts
from rota.domain.runs.settlement import settle
from rota.domain.schedules.base import Anchor
from rota.domain.schedules.fire_times import fire_times, first_fire
from rota.domain.schedules.first_runs import first_runs
from rota.errors import Unplannable
from tests.domain.schedules.rules import ALL, ZONES, read
from tests.support.factories import DAY, NOON, define, numbered

BERLIN = {"type": "cron", "timezone": "Europe/Berlin"}
SPRING, AUTUMN = datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 0, tzinfo=UTC)
HALF_PAST = timedelta(minutes=30)


def found(**fields: Any) -> list[Finding]:
    """Return what lint finds of a schedule that is registered at noon on 10 March 2026."""
    schedule = read(**fields)
    anchor = Anchor(NOON, "t")
    return lint(schedule, NOON, first_runs(schedule, anchor, 3), NOON)


def codes(**fields: Any) -> list[str]:
    return [each.code for each in found(**fields)]


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "manual"},
        {"type": "after", "tasks": ["a"]},
        {"type": "interval", "every": "15m"},
        {"type": "interval", "every": "1d"},
        {"type": "interval", "every": "2d"},
        {"type": "interval", "every": "7m", "mode": "fixed_delay"},
        {"type": "once", "at": "2999-01-01T00:00:00Z"},
        {"type": "once", "at": "2026-07-01T02:30:00", "timezone": "Europe/Berlin"},
        {"type": "cron", "expression": "30 2 * * *"},
        {"type": "cron", "expression": "0 0 1-31 * *"},
        {"type": "cron", "expression": "0 0 */2 1 *"},
        {"type": "cron", "expression": "0 0 1,15,28 * *"},
        {"type": "cron", "expression": "0 0 L * *"},
        {"type": "cron", "expression": "0 0 31 1,3,5 *"},
        {"type": "cron", "expression": "*/15 * * * *"},
        {"type": "cron", "expression": "*/7,30 * * * *"},
        {"type": "cron", "expression": "0 */5,23 * * *"},
        {"type": "cron", "expression": "*/20 * * * * *"},
        BERLIN | {"expression": "*/15 * * * *"},
        BERLIN | {"expression": "0 9 * * *"},
        BERLIN | {"expression": "30 2 * * 1-6"},
        BERLIN | {"expression": "30 2 * 7 *"},
        {"type": "calendar", "unit": "month", "day": 28, "time": "09:00"},
        {"type": "calendar", "unit": "month", "day": 31, "time": "09:00", "missing_day": "last"},
        {"type": "calendar", "unit": "year", "day": "12-31", "time": "09:00"},
    ],
)
def test_nothing_is_found_where_all_is_well(fields: dict[str, Any]) -> None:
    assert found(**fields) == []


@pytest.mark.parametrize(
    ("fields", "wanted", "says"),
    [
        ({"type": "interval", "every": 1}, "every_second", "86,400"),
        ({"type": "cron", "expression": "* * * * * *"}, "every_second", "6 fields"),
        ({"type": "cron", "expression": "* 0 9 * * *"}, "every_second", "6 fields"),
        ({"type": "interval", "every": "7m"}, "uneven_interval", "7 minutes do not divide"),
        ({"type": "interval", "every": "36h"}, "uneven_interval", "1 day and 12 hours"),
        ({"type": "cron", "expression": "*/7 * * * *"}, "uneven_interval", "only 4 minutes later"),
        ({"type": "cron", "expression": "0 */5 * * *"}, "uneven_interval", "only 4 hours later"),
        ({"type": "cron", "expression": "0 0 31 * *"}, "month_end", "February, April, June"),
        (
            {"type": "cron", "expression": "0 0 29 * *"},
            "month_end",
            "February (except in leap years)",
        ),
        ({"type": "cron", "expression": "0 0 1,30 * *"}, "month_end", "in February."),
        ({"type": "cron", "expression": "0 0 29-31 * *"}, "month_end", "a day 31"),
        (
            {"type": "calendar", "unit": "month", "day": [1, 30], "time": "09:00"},
            "month_end",
            "missing_day: last",
        ),
        (
            {"type": "calendar", "unit": "year", "day": "02-29", "time": "09:00"},
            "month_end",
            "leap years",
        ),
        (
            {"type": "cron", "expression": "0 9 * * *", "timezone": "Etc/GMT+2"},
            "reversed_offset",
            "'Etc/GMT+2' is UTC-2",
        ),
        (
            {"type": "once", "at": "2026-12-24T09:00:00", "timezone": "Etc/GMT-14"},
            "reversed_offset",
            "write 'Etc/GMT+14'",
        ),
        (
            {
                "type": "any_of",
                "schedules": [
                    {"type": "calendar", "unit": "day", "time": "09:00", "timezone": "Etc/GMT+1"}
                ],
            },
            "reversed_offset",
            "/schedules/0: The time zone 'Etc/GMT+1' is UTC-1",
        ),
        ({"type": "cron", "expression": "0 0 13 * 5"}, "both_day_fields", "fit either"),
        ({"type": "cron", "expression": "0 0 */2 * 5"}, "both_day_fields", "fit both, because"),
        (
            {"type": "cron", "expression": "0 9 * * *", "end_at": "2026-03-01T00:00:00Z"},
            "never_fires",
            "ends on 1 March 2026",
        ),
        (
            {
                "type": "cron",
                "expression": "0 9 * * *",
                "end_at": "2026-04-01T00:00:00Z",
                "exclude": [{"from": "2026-01-01", "to": "2026-12-31"}],
            },
            "never_fires",
            "left out",
        ),
        ({"type": "once", "at": "2026-03-10T11:59:00Z"}, "in_the_past", "runs at once"),
        (
            {"type": "any_of", "schedules": [{"type": "cron", "expression": "0 0 31 * *"}]},
            "month_end",
            "/schedules/0: Not every month",
        ),
    ],
)
def test_what_may_not_be_meant_is_found(fields: dict[str, Any], wanted: str, says: str) -> None:
    (only,) = found(**fields)

    assert only.code == wanted
    assert says in only.message


@pytest.mark.parametrize(
    ("fields", "gap", "fold"),
    [
        ({"expression": "30 2 * * *"}, "at 03:00 instead", "first of the two only"),
        ({"expression": "30 2 * * *", "dst": {"gap": "skip", "fold": "both"}}, "dst_gap", "both"),
        ({"expression": "*/20 2 * * *"}, "nothing fires for them", "fire at both"),
        ({"expression": "0 30 2 * * *"}, "at 03:00 instead", "first of the two only"),
    ],
)
def test_times_that_a_change_of_the_clocks_leaves_out_or_repeats_have_a_warning(
    fields: dict[str, Any], gap: str, fold: str
) -> None:
    in_spring, in_autumn = found(**BERLIN, **fields)

    assert (in_spring.code, in_autumn.code) == ("dst_gap", "dst_fold")
    assert "2026-03-29 and 2027-03-28" in in_spring.message
    assert "go forward from 02:00 to 03:00" in in_spring.message
    assert gap in in_spring.message
    assert "2026-10-25 the clocks of Europe/Berlin go back from 03:00 to 02:00" in in_autumn.message
    assert fold in in_autumn.message
    assert in_spring.at == SPRING
    assert in_autumn.at is not None
    assert AUTUMN <= in_autumn.at <= AUTUMN + HALF_PAST


def test_a_clock_change_that_does_not_affect_the_rule_has_no_warning() -> None:
    rule = BERLIN | {"expression": "30 2 * * *"}

    assert codes(**rule, exclude=["2026-03-29", "2027-03-28"]) == ["dst_fold"]
    assert codes(**rule, end_at="2026-03-20T00:00:00Z") == []
    assert codes(**rule, start_at="2026-04-20T00:00:00Z", end_at="2026-11-20T00:00:00Z") == [
        "dst_fold"
    ]


@pytest.mark.parametrize("delay", [0, "5m"])
def test_a_delay_that_has_passed_was_meant(delay: Any) -> None:
    """By the time at which the answer is made, a delay of zero has always passed."""
    schedule = read(type="once", delay=delay)
    at = first_runs(schedule, Anchor(NOON, "t"), 1)

    assert lint(schedule, NOON, at, NOON + timedelta(minutes=6)) == []


def test_a_step_counts_from_the_registration() -> None:
    fields = {"unit": "week", "day": "sun", "time": "02:30", "timezone": "Europe/Berlin"}
    weekly = read(type="calendar", step=2, **fields)

    found = [
        [each.at for each in lint(weekly, NOON - weeks * 7 * DAY, [NOON], NOON)] for weeks in (0, 1)
    ]

    days = [SPRING, AUTUMN + HALF_PAST]
    # 29 March 2026 and 28 March 2027 are an even number of weeks apart, as is 25 October.
    assert found in ([days, []], [[], days])


def test_the_time_of_a_finding_is_the_fire_time_that_it_is_about() -> None:
    for at in ("2026-03-29T02:30:00", "2026-10-25T02:30:00"):
        once = read(type="once", at=at, timezone="Europe/Berlin")

        (only,) = lint(once, NOON, [NOON], NOON)

        assert only.at == first_fire(once, Anchor(NOON))


def _by_the_clock(zone: str, hour: int, minute: int) -> tuple[list[date], list[date]]:
    """Return the days of the year ahead on which a clock on the wall never shows a time, or shows it twice."""
    start, place = NOON.replace(hour=0), ZoneInfo(zone)
    lost: list[date] = []
    repeated: list[date] = []
    for number in range(-1, AHEAD.days + 1):
        day = (start + number * DAY).date()
        at = datetime(day.year, day.month, day.day, hour, minute, tzinfo=place)
        if at.utcoffset() == at.replace(fold=1).utcoffset():
            continue
        if start <= at.astimezone(UTC) < start + AHEAD:
            shown = at.astimezone(UTC).astimezone(place)
            (repeated if (shown.hour, shown.minute) == (hour, minute) else lost).append(day)
    return lost, repeated


@given(ZONES, st.integers(0, 24 * 60 - 1))
@settings(deadline=None, max_examples=30)
def test_a_daily_time_has_a_warning_exactly_where_the_clock_leaves_it_out_or_repeats_it(
    zone: str, minute: int
) -> None:
    hour, minute = divmod(minute, 60)
    lost, repeated = _by_the_clock(zone, hour, minute)

    findings = found(type="cron", expression=f"{minute} {hour} * * *", timezone=zone)

    by_code = {each.code: each for each in findings}
    wanted = [code for code, days in (("dst_gap", lost), ("dst_fold", repeated)) if days]
    assert list(by_code) == wanted
    for code, days in (("dst_gap", lost), ("dst_fold", repeated)):
        for day in days:
            assert day.isoformat() in by_code[code].message


@given(
    initial=st.integers(1, 60),
    elapsed=st.integers(1, 60),
    backoff=st.sampled_from(["exponential", "linear", "constant"]),
    jitter=st.booleans(),
)
def test_a_policy_without_time_for_a_retry_has_a_warning(
    initial: int, elapsed: int, backoff: str, jitter: bool
) -> None:
    retry = {
        "initial_interval": initial,
        "max_elapsed": elapsed,
        "backoff": backoff,
        "jitter": jitter,
    }
    definition = define(schedule={"type": "manual"}, retry=retry)

    codes = [each.code for each in lint_definition(definition, NOON, [], NOON)]

    facts = {"failures": 0, "lost_count": 0, "conflict_count": 0, "first_started_at": NOON}
    ends = [
        settle(
            RunFacts(id=numbered(number), **facts),  # type: ignore[arg-type]
            Failed(RunError("e", "m")),
            definition.retry,
            NOON,
        ).status
        for number in range(200)
    ]
    if codes:
        assert codes == ["no_retry"]
        assert set(ends) == {"failed"}
    elif elapsed >= initial * (0.8 * 1.02 if jitter else 1):  # the luckiest of 200 is within 2 %
        assert "queued" in ends


def test_a_policy_without_retries_or_without_an_end_is_not_warned_of() -> None:
    for retry in ({"max_attempts": 1, "max_elapsed": 1}, {"initial_interval": "1h"}):
        definition = define(schedule={"type": "manual"}, retry=retry)
        assert lint_definition(definition, NOON, [], NOON) == []


def test_the_default_of_the_first_interval_is_warned_of_as_well() -> None:
    definition = define(schedule={"type": "manual"}, retry={"max_elapsed": "5s"})

    (only,) = lint_definition(definition, NOON, [], NOON)

    assert only.code == "no_retry"
    assert "8 seconds after the failure at the soonest" in only.message
    assert "later than 5 seconds after the first attempt" in only.message


def test_a_timeout_longer_than_the_interval_has_a_warning_with_the_effect_of_the_overlap_policy() -> (
    None
):
    wanted = {"skip": "are skipped", "allow": "beside each other", "buffer": "queue up"}
    for policy, says in {**wanted, "replace": "cancels the run before"}.items():
        definition = define(overlap_policy=policy, timeout="2m")

        (only,) = lint_definition(definition, NOON, [NOON], NOON)

        assert only.code == "timeout_longer_than_interval"
        assert "2 minutes (timeout), and fire times come 1 minute apart" in only.message
        assert says in only.message


def test_a_timeout_is_compared_with_the_shortest_time_between_fire_times() -> None:
    schedule = {"type": "cron", "expression": "0 9,10 * * *"}

    def found(timeout: str, **fields: Any) -> bool:
        definition = define(schedule=schedule | fields, timeout=timeout)
        return bool(lint_definition(definition, NOON, [NOON], NOON))

    assert found("61m")
    assert not found("60m")
    assert found("61m", jitter="50m")
    assert not found("60m", exclude=["2026-03-11"])
    assert not lint_definition(define(schedule={"type": "manual"}), NOON, [], NOON)


def test_the_default_timeout_is_no_choice_to_warn_of() -> None:
    assert not lint_definition(define(), NOON, [NOON], NOON)


def test_fire_times_that_are_excluded_are_counted() -> None:
    schedule = read(type="cron", expression="0 9 * * *", exclude=["2026-03-12", "2026-03-13"])
    anchor = Anchor(NOON, "t")
    times = first_runs(schedule, anchor, 2)

    (only,) = left_out(schedule, anchor, times)

    assert only.at == datetime(2026, 3, 12, 9, tzinfo=UTC)
    assert only.message.startswith("2 fire times before the last one shown are left out")
    assert left_out(schedule, anchor, times[:1]) == []
    assert left_out(read(type="manual"), anchor, []) == []


def test_a_missing_handler_has_a_warning_with_its_name() -> None:
    assert handler_missing("resize").code == "handler_missing"
    assert "'resize'" in handler_missing("resize").message


def test_a_zone_that_is_gone_is_no_reason_to_find_something_else() -> None:
    gone = read(**BERLIN, expression="30 2 * * *").model_copy(update={"timezone": "Mars/Olympus"})

    with pytest.raises(Unplannable):
        lint(gone, NOON, [NOON], NOON)


@given(ALL)
@settings(deadline=None, max_examples=50)
def test_any_schedule_can_be_linted_and_the_dates_of_warnings_are_fire_times(
    schedule: Any,
) -> None:
    anchor = Anchor(NOON, "t")
    for each in lint(schedule, NOON, first_runs(schedule, anchor, 1), NOON):
        assert each.code in ALL_CODES
        if each.code == "dst_fold" and schedule.type != "any_of" and schedule.jitter is None:
            assert each.at is not None
            assert next(fire_times(schedule, anchor, each.at - TICK)).at == each.at


ALL_CODES = {
    "both_day_fields",
    "dst_fold",
    "dst_gap",
    "every_second",
    "in_the_past",
    "month_end",
    "never_fires",
    "reversed_offset",
    "uneven_interval",
}


def test_a_window_in_a_zone_with_a_reversed_sign_has_a_warning() -> None:
    definition = define(
        constraints=[{"type": "max_load", "load": 1}, {"type": "window", "timezone": "Etc/GMT-2"}]
    )

    (only,) = lint_definition(definition, NOON, [NOON], NOON)

    assert only.code == "reversed_offset"
    assert only.message.startswith("/constraints/1: The time zone 'Etc/GMT-2' is UTC+2")
