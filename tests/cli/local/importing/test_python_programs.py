"""Schedules of Celery beat and jobs of APScheduler as tasks, read and never executed."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from rota.cli.exits import CommandFailed
from rota.cli.local.importing import apscheduler_jobs, celery_beat
from rota.cli.local.importing.imported import Imported

BOMB = "import os\nos.abort()\n"


def beat(entry: str, before: str = "") -> Imported:
    text = f"{BOMB}{before}\napp.conf.beat_schedule = {{'it': {entry}}}"
    return celery_beat.read_module(text, "beat.py", None)


@pytest.mark.parametrize(
    ("schedule", "rule"),
    [
        ("30", {"type": "interval", "every": 30}),
        ("0.5 + 1", {"type": "interval", "every": 1.5}),
        ("60 * 60", {"type": "interval", "every": 3600}),
        ("timedelta(minutes=5)", {"type": "interval", "every": 300}),
        ("schedule(run_every=timedelta(hours=1))", {"type": "interval", "every": 3600}),
        ("schedules.crontab()", {"expression": "* * * * *"}),
        ("crontab(hour=7, minute=30, day_of_week=1)", {"expression": "30 7 * * 1"}),
        (
            "crontab(minute='*/15', hour='8-17', day_of_week='mon-fri')",
            {"expression": "*/15 8-17 * * mon-fri"},
        ),
        ("crontab(0, 0, day_of_month='1')", {"expression": "0 0 1 * *"}),
        ("crontab(0, 0, 1)", None),
        ("timedelta(1)", {"type": "interval", "every": 86400}),
        ("crontab(minute=0, hour=0, day_of_month='1')", {"expression": "0 0 1 * *"}),
        ("crontab(minute={30, 0}, hour=[1, 2])", {"expression": "0,30 1,2 * * *"}),
        ("crontab(day_of_month=1, day_of_week='mon')", None),
        ("crontab(minute=99)", None),
        ("solar('sunset', 1, 2)", None),
        ("EVERY", None),
        ("True", None),
        ("0.2", None),
    ],
)
def test_a_schedule_of_celery(schedule: str, rule: dict[str, Any] | None) -> None:
    found = beat(f"{{'task': 'tasks.add', 'schedule': {schedule}}}")

    if rule is None:
        assert found.tasks == []
        assert [each.line for each in found.problems] == [4]
        return
    cron = {"type": "cron", "timezone": "UTC"} if "expression" in rule else {}
    assert found.tasks[0]["schedule"] == cron | rule


def test_an_entry_of_celery_keeps_its_arguments_zone_and_queue() -> None:
    found = beat(
        "{'task': 'tasks.add', 'schedule': crontab(minute=1), 'args': (1, 'a'), 'kwargs': {'b': None},"
        " 'options': {'queue': 'mail', 'expires': 9}}",
        before="timezone = 'Europe/Berlin'",
    )

    assert found.tasks == [
        {
            "name": "it",
            "handler": "tasks.add",
            "input": {"args": [1, "a"], "kwargs": {"b": None}},
            "schedule": {"type": "cron", "expression": "1 * * * *", "timezone": "Europe/Berlin"},
            "queue": "mail",
        }
    ]
    assert found.problems[0].reason == "the options expires are not taken over"
    assert found.is_complete


@pytest.mark.parametrize(
    "source",
    [
        "CELERY_BEAT_SCHEDULE = {'a': {'task': 't', 'schedule': 5}}",
        "beat_schedule: dict = {'a': {'task': 't', 'schedule': 5}}",
        "app.conf.update(timezone='UTC', beat_schedule={'a': {'task': 't', 'schedule': 5}})",
    ],
)
def test_a_schedule_of_celery_is_found_where_it_is_set(source: str) -> None:
    (task,) = celery_beat.read_module(source, "beat.py", None).tasks

    assert task["name"] == "a"


def test_what_celery_would_compute_is_reported_with_its_line() -> None:
    text = "beat_schedule = {\n **others,\n NAME: {},\n 'a': make(),\n 'b': {'schedule': 5},\n 'c': {'task': 't'},\n}"

    found = celery_beat.read_module(text, "beat.py", None)

    assert [each.line for each in found.problems] == [2, 3, 4, 5, 6]


def test_a_schedule_of_celery_as_json() -> None:
    entries = {
        "a": {"task": "t", "schedule": 30, "args": [1]},
        "b": {"task": "t", "schedule": {"crontab": {"minute": "0", "hour": "3"}}},
        "c": {"task": "t", "schedule": {"minute": 5}},
        "d": 3,
    }

    found = celery_beat.read_json(json.dumps(entries), "beat.json", "Asia/Tokyo")

    rules = [each["schedule"].get("expression") for each in found.tasks]
    assert rules == [None, "0 3 * * *", "5 * * * *"]
    assert found.tasks[1]["schedule"]["timezone"] == "Asia/Tokyo"
    assert [each.what for each in found.problems] == ["d"]


@pytest.mark.parametrize("text", ["x = 1", "beat_schedule = load()", "beat_schedule = ("])
def test_a_module_without_a_schedule_is_refused(text: str) -> None:
    with pytest.raises(CommandFailed, match=r"beat\.py"):
        celery_beat.read_module(text, "beat.py", None)


# ------------------------------------------------------------------------------------------------ APScheduler
def jobs(source: str) -> Imported:
    return apscheduler_jobs.read_module(f"{BOMB}{source}", "jobs.py", "UTC")


@pytest.mark.parametrize(
    ("trigger", "rule"),
    [
        ("'interval', minutes=5", {"type": "interval", "every": 300}),
        ("IntervalTrigger(hours=1, jitter=5)", {"type": "interval", "every": 3600, "jitter": 5}),
        ("'cron', hour=3", {"expression": "0 3 * * *"}),
        ("'cron', minute='*/5'", {"expression": "*/5 * * * *"}),
        ("'cron', second=30", {"expression": "30 * * * * *"}),
        ("'cron', day=1", {"expression": "0 0 1 * *"}),
        ("'cron', month=6", {"expression": "0 0 1 6 *"}),
        ("'cron', day='last', hour=3", {"expression": "0 3 L * *"}),
        ("'cron', day='2nd fri', hour=1", {"expression": "0 1 * * 5#2"}),
        ("'cron', day='last sun', hour=1", {"expression": "0 1 * * 0L"}),
        ("'cron', day_of_week=0, hour=9", {"expression": "0 9 * * mon"}),
        ("'cron', day_of_week='0-4', hour=9", {"expression": "0 9 * * mon-fri"}),
        ("CronTrigger(day_of_week='mon-fri', hour=9)", {"expression": "0 9 * * mon-fri"}),
        ("CronTrigger.from_crontab('0 9 * * 6')", {"expression": "0 9 * * sun"}),
        (
            "'date', run_date='2027-12-24 17:30:00'",
            {"type": "once", "at": "2027-12-24T17:30:00", "timezone": "UTC"},
        ),
        (
            "'date', run_date='2027-12-24T17:30:00+01:00'",
            {"type": "once", "at": "2027-12-24T17:30:00+01:00"},
        ),
        ("'cron', week=3", None),
        ("'cron', day=1, day_of_week='mon'", None),
        ("'cron', hour=HOUR", None),
        ("OrTrigger([])", None),
        ("'interval'", None),
        ("'interval', hours=1, start_date='2027-01-01 00:00:00'", None),
    ],
)
def test_a_trigger_of_apscheduler(trigger: str, rule: dict[str, Any] | None) -> None:
    found = jobs(f"scheduler.add_job(tick, {trigger})")

    if rule is None:
        assert found.tasks == []
        assert [each.line for each in found.problems] == [3]
        return
    cron = {"type": "cron", "timezone": "UTC"} if "expression" in rule else {}
    assert found.tasks[0]["schedule"] == cron | rule


def test_a_job_of_apscheduler_keeps_its_arguments_and_policies() -> None:
    found = jobs(
        "s.add_job('shop.jobs:report', trigger='interval', seconds=5, id='r', args=[1], kwargs={'a': 2},"
        " max_instances=3, coalesce=False, misfire_grace_time=60, executor='x')"
    )

    assert found.tasks == [
        {
            "name": "r",
            "handler": "shop.jobs.report",
            "input": {"args": [1], "kwargs": {"a": 2}},
            "schedule": {"type": "interval", "every": 5},
            "overlap_policy": "allow",
            "misfire_policy": "run_all",
            "misfire_grace": 60,
        }
    ]
    assert [each.reason for each in found.problems] == ["executor is not taken over"]


def test_decorated_functions_are_jobs() -> None:
    found = jobs("@s.scheduled_job('interval', hours=1)\nasync def tick(): ...")

    assert [each["handler"] for each in found.tasks] == ["tick"]


def test_jobs_of_apscheduler_as_json() -> None:
    listed = [
        {"id": "a", "func": "m:f", "trigger": "cron", "hour": 9, "timezone": "Europe/Berlin"},
        {"func": "m:f", "trigger": {"type": "interval", "minutes": 2}},
        {"func": "m:f"},
        3,
    ]

    found = apscheduler_jobs.read_json(json.dumps(listed), "jobs.json", "UTC")

    assert [each["name"] for each in found.tasks] == ["a", "f"]
    assert found.tasks[0]["schedule"]["timezone"] == "Europe/Berlin"
    assert [each.what for each in found.problems] == ["job 3", "job 4"]


def test_a_job_store_is_refused_with_what_to_do_instead(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "jobs.sqlite")) as connection:
        connection.execute("CREATE TABLE apscheduler_jobs (id, next_run_time, job_state)")

    for content in ((tmp_path / "jobs.sqlite").read_bytes(), b"\x80\x04."):
        with pytest.raises(CommandFailed, match="pickles"):
            apscheduler_jobs.refuse_store(content)


@pytest.mark.parametrize(
    "fields",
    [
        '"args": 5',
        '"kwargs": "x"',
        '"kwargs": [1]',
        '"misfire_grace_time": "x"',
        '"jitter": {"a": []}',
    ],
)
def test_a_job_that_is_damaged_is_reported_and_the_others_are_taken_over(fields: str) -> None:
    job = '"func": "jobs:f", "trigger": "interval", "minutes": 5'

    found = apscheduler_jobs.read_json(f"[{{{job}, {fields}}}, {{{job}}}]", "jobs.json", "UTC")

    assert len(found.tasks) >= 1
    assert len(found.tasks) + len(found.problems) >= 2


@pytest.mark.parametrize(
    "fields",
    [
        '"schedule": Infinity',
        '"schedule": NaN',
        '"options": 5, "schedule": 5',
        '"args": 1, "schedule": 5',
    ],
)
def test_an_entry_that_is_damaged_is_reported_and_the_others_are_taken_over(fields: str) -> None:
    text = f'{{"a": {{"task": "t", {fields}}}, "b": {{"task": "t", "schedule": 5}}}}'

    found = celery_beat.read_json(text, "beat.json", None)

    assert [each["name"] for each in found.tasks] == ["b"]
    assert [each.what for each in found.problems] == ["a"]


@pytest.mark.parametrize("read", [apscheduler_jobs.read_json, celery_beat.read_json])
def test_json_that_is_nested_too_deeply_is_refused(read: Any) -> None:
    with pytest.raises(CommandFailed, match="no JSON"):
        read("[" * 200_000, "deep.json", "UTC")


@pytest.mark.parametrize(
    "value", ["-" * 100_000 + "1", "1" + "+1" * 5_000, "(" * 150 + "1" + ")" * 150]
)
def test_a_source_that_is_nested_too_deeply_is_refused_or_reported(value: str) -> None:
    try:
        found = beat(f"{{'task': 't', 'schedule': {value}}}")
    except CommandFailed as error:
        assert "no Python" in str(error)  # noqa: PT017  # one or the other, by the version of Python
    else:
        assert found.problems or found.tasks
