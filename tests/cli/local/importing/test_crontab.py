"""Crontabs as tasks: what each line becomes, and why one becomes none."""

from typing import Any

import pytest

from rota.cli.local.importing.crontab import read_crontab
from rota.cli.local.importing.imported import Imported


def read(text: str, *, has_users: bool = False) -> Imported:
    return read_crontab(text, timezone="Europe/Berlin", has_users=has_users)


@pytest.mark.parametrize(
    ("line", "expression", "given"),
    [
        ("*/5 1-3 * jan mon /bin/a -x", "*/5 1-3 * jan mon", {"command": "/bin/a -x"}),
        ("  0 9 * * 1-5\t/bin/a  b", "0 9 * * 1-5", {"command": "/bin/a  b"}),
        ("@daily /bin/a", "@daily", {"command": "/bin/a"}),
        ("@Weekly\t/bin/a", "@weekly", {"command": "/bin/a"}),
        ("-0 0 * * * /bin/a", "0 0 * * *", {"command": "/bin/a"}),
        (r"0 0 * * * date +\%F", "0 0 * * *", {"command": "date +%F"}),
        (
            r"0 0 * * * mail me%Dear \% me%bye",
            "0 0 * * *",
            {"command": "mail me", "stdin": "Dear % me\nbye\n"},
        ),
        ("0 0 * * * a=1 /bin/a", "0 0 * * *", {"command": "a=1 /bin/a"}),
    ],
)
def test_a_line_becomes_a_task(line: str, expression: str, given: dict[str, Any]) -> None:
    found = read(line)

    (task,) = found.tasks
    assert found.problems == []
    assert task["handler"] == "shell"
    assert task["input"] == given
    assert task["schedule"] == {
        "type": "cron",
        "expression": expression,
        "timezone": "Europe/Berlin",
    }


def test_settings_are_for_the_lines_below_them() -> None:
    found = read(
        "0 1 * * * a\nCRON_TZ=UTC\nPATH = /bin\n0 2 * * * b\nSHELL='/bin/bash'\n0 3 * * * c\n"
    )

    assert [each["schedule"]["timezone"] for each in found.tasks] == ["Europe/Berlin", "UTC", "UTC"]
    assert [each["input"].get("env") for each in found.tasks] == [
        None,
        {"PATH": "/bin"},
        {"PATH": "/bin", "SHELL": "/bin/bash"},
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("@reboot /bin/a", "@reboot is no time"),
        ("@fortnightly /bin/a", "is none of @hourly"),
        ("61 * * * * /bin/a", "61 is out of range"),
        ("0 0 30 2 * /bin/a", "never"),
        ("0 0 * * *", "a line has 5 fields"),
        ("hello", "a line has 5 fields"),
        ("@daily", "there is no command"),
    ],
)
def test_a_line_without_a_counterpart_is_reported_with_its_number(line: str, reason: str) -> None:
    found = read(f"# mine\n\n{line}\n0 1 * * * /bin/b\n")

    (problem,) = found.problems
    assert (problem.line, problem.what, problem.is_warning) == (3, line, False)
    assert reason in problem.reason
    assert not found.is_complete
    assert len(found.tasks) == 1


def test_the_user_of_a_system_crontab_is_a_warning() -> None:
    found = read("17 * * * *  www-data  cd / && run-parts /etc\n@daily root /bin/b", has_users=True)

    assert [each["input"]["command"] for each in found.tasks] == [
        "cd / && run-parts /etc",
        "/bin/b",
    ]
    assert [(each.line, each.is_warning) for each in found.problems] == [(1, True), (2, True)]
    assert "runs as www-data" in found.problems[0].reason
    assert found.is_complete


def test_a_line_that_seems_to_name_a_user_is_a_warning() -> None:
    found = read("0 2 * * * root echo hi\n0 3 * * * rootless-backup")

    assert [each["input"]["command"] for each in found.tasks] == ["root echo hi", "rootless-backup"]
    assert [(each.line, each.is_warning) for each in found.problems] == [(1, True)]
    assert "--system" in found.problems[0].reason


def test_mail_is_a_warning_unless_it_is_switched_off() -> None:
    assert read('MAILTO=""').problems == []
    assert "on_failure" in read("MAILTO=me@example.com").problems[0].reason


def test_names_are_those_of_the_programs_and_differ() -> None:
    lines = [
        "/usr/bin/backup.sh --full",
        "cd /srv && ./backup.py",
        "TZ=UTC nice make-report",
        "run",
    ]

    found = read("\n".join(f"0 0 * * * {each}" for each in lines))

    assert [each["name"] for each in found.tasks] == ["backup", "backup-2", "make-report", "run-2"]
