"""`rota preview`: a schedule in words and as times, without a service."""

import json
import subprocess
import sys
from typing import Any

import pytest
from typer.testing import CliRunner

from rota.cli import app

BEGIN = ("--from", "2027-03-27T00:00:00Z")


def preview(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["preview", *BEGIN, *arguments])


@pytest.mark.parametrize(
    ("typed", "sentence", "first"),
    [
        ("0 9 * * 1-5", "At 09:00 from Monday to Friday, UTC.", "Mon 2027-03-29 09:00:00"),
        ("@daily", "At 00:00 every day, UTC.", "Sun 2027-03-28 00:00:00"),
        ("15m", "Every 15 minutes, counted from its registration.", "Sat 2027-03-27 00:15:00"),
        (
            "every 15m",
            "Every 15 minutes, counted from its registration.",
            "Sat 2027-03-27 00:15:00",
        ),
        (
            '{"type": "calendar", "unit": "month", "day": "last", "time": "23:00"}',
            "At 23:00 on the last day of every month, UTC.",
            "Wed 2027-03-31 23:00:00",
        ),
    ],
)
def test_a_schedule_is_shown_in_words_and_times(typed: str, sentence: str, first: str) -> None:
    ended = preview(typed)

    assert ended.exit_code == 0, ended.output
    lines = ended.stdout.splitlines()
    assert lines[0] == sentence
    assert lines[1] == "UTC"
    assert lines[2].startswith(first)
    assert len(lines) == 7


def test_local_times_are_beside_utc_and_changes_of_the_clocks_are_a_warning() -> None:
    ended = preview("30 2 * * *", "--tz", "Europe/Berlin", "--count", "2")

    assert "Sat 2027-03-27 02:30:00+01:00  Sat 2027-03-27 01:30:00+00:00" in ended.stdout
    assert "Sun 2027-03-28 03:00:00+02:00" in ended.stdout
    assert "Warning: " in ended.stderr


def test_json_has_what_the_api_returns() -> None:
    document = json.loads(preview("@daily", "--json", "--count", "1").stdout)

    assert document == {
        "description": "At 00:00 every day, UTC",
        "fire_times": [
            {"at": "2027-03-28T00:00:00.000Z", "local": "2027-03-28T00:00:00.000+00:00"}
        ],
        "warnings": [],
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("61 * * * *",), "rota: '61' in the minute field"),
        (("@reboot",), "@reboot"),
        (("0 9 * * *", "--tz", "Mars/Base"), "rota: --tz: "),
        (("{",), "The schedule is not JSON"),
        (('{"type": "cron"}',), "/expression"),
        (("@daily", "--from", "tomorrow"), "--from: "),
        (
            ('{"type": "cron", "expression": "@daily", "exclude": [{"calendar": "de"}]}',),
            "The calendar 'de' is kept by a service",
        ),
        (("@daily", "--count", "0"), "See: rota preview --help"),
    ],
)
def test_what_is_wrong_is_a_sentence(arguments: tuple[str, ...], words: str) -> None:
    ended = preview(*arguments)

    assert ended.exit_code == 2
    assert words in ended.stderr
    assert ended.stdout == ""


def test_a_preview_imports_neither_the_server_nor_a_database() -> None:
    program = "import sys, rota.cli.local.preview; print(*sys.modules)"

    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    heavy = {"fastapi", "sqlalchemy", "uvicorn", "httpx", "rota.settings", "rota.domain.tasks"}
    assert set(ended.stdout.split()) & heavy == set()
