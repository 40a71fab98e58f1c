"""The agenda of several tasks: what each of them runs next, in one order."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rota.domain.fire_time import TICK
from rota.domain.runs.agenda import plan_agenda
from rota.domain.runs.upcoming import next_runs
from rota.domain.schedules.definitions import Unreadable
from rota.domain.step_budget import limited_to
from rota.domain.tasks.task import Task
from tests.domain.runs.test_upcoming import DAILY, task_of
from tests.domain.schedules.rules import CRONS, INTERVALS, read
from tests.support.factories import DAY, HOUR, MINUTE, NOON, numbered

RULES = st.lists(CRONS | INTERVALS, max_size=4)


def tasks_of(schedules: list[Any]) -> list[Task]:
    """Return tasks, the earliest first, as they are read."""
    made = [
        replace(task_of(schedule), id=numbered(number), name=f"t{number}")
        for number, schedule in enumerate(schedules)
    ]
    due = [task for task in made if task.next_fire_at is not None]
    return sorted(due, key=lambda task: task.next_fire_at or NOON)


@given(RULES, st.integers(1, 30), st.none() | st.integers(1, 12), st.integers(0, 300_000))
def test_an_agenda_is_what_all_tasks_run_next_in_one_order(
    schedules: list[Any], limit: int, of_each: int | None, ahead: int
) -> None:
    tasks, until = tasks_of(schedules), NOON + timedelta(seconds=ahead)

    agenda = plan_agenda(tasks, NOON, until, limit, of_each=of_each)

    expected = sorted(
        (at, task.name)
        for task in tasks
        for at in next_runs(task, NOON, of_each or limit + 1)
        if at <= until
    )
    assert [run[:2] for run in agenda.runs] == expected[:limit]
    if len(expected) <= limit:
        assert agenda.complete_until == until
    else:
        assert agenda.complete_until == expected[limit][0] - TICK


def test_of_tasks_that_were_not_read_something_may_be_missing_from_their_first_fire_time_on() -> (
    None
):
    first, second = tasks_of([read(type="interval", every=60), read(type="interval", every=3_600)])

    agenda = plan_agenda([first, second], NOON, NOON + DAY, 100, of_each=100, more_from=NOON + HOUR)

    assert [run.at for run in agenda.runs] == [
        *(NOON + number * MINUTE for number in range(1, 61)),
        NOON + HOUR,
    ]
    assert agenda.complete_until == NOON + HOUR - TICK


def test_a_task_whose_fire_times_cannot_be_found_shows_its_next_one() -> None:
    crowd = read(
        type="any_of",
        schedules=[{"type": "interval", "every": 1, "exclude": [{"from": "2026-03-10", "to": "2026-06-01"}]}],
    )  # fmt: skip
    unreadable = task_of(Unreadable(reason="newer"), next_fire_at=NOON + HOUR)
    costly = replace(task_of(crowd), name="costly", next_fire_at=NOON + 2 * HOUR)

    with limited_to(20):
        agenda = plan_agenda([unreadable, costly], NOON, NOON + DAY, 9, of_each=9)

    assert [run.at for run in agenda.runs] == [NOON + HOUR, NOON + 2 * HOUR]


def test_an_agenda_of_no_tasks_is_empty_and_complete() -> None:
    agenda = plan_agenda([], NOON, NOON + DAY, 9, of_each=9)

    assert (agenda.runs, agenda.complete_until) == ([], NOON + DAY)
    assert plan_agenda(tasks_of([read(**DAILY)]), NOON, NOON, 9, of_each=9).runs == []
