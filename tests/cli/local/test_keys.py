"""`rota key …`: keys are made, listed, rotated and revoked on the database, without a service."""

import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from rota.cli import app
from rota.db.engine import Database
from rota.domain.access.keys import parse_key
from rota.domain.access.stored_key import StoredKey, prove
from rota.store.access.reading import find_key
from rota.store.audit.reading import AuditFilter, list_entries

Rota = Callable[..., Result]
CI = ("--name", "CI", "--scope", "tasks:read")
on_sqlite = pytest.mark.parametrize("database_engine", ["sqlite"], indirect=True)


@pytest.fixture
def rota(monkeypatch: pytest.MonkeyPatch, migrated_database_url: str) -> Rota:
    monkeypatch.setenv("ROTA_DATABASE_URL", migrated_database_url)

    def call(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["key", *arguments])

    return call


def made(rota: Rota, *options: str) -> str:
    """Make a key; return its text."""
    ended = rota("create", *options)
    assert ended.exit_code == 0, ended.output
    return str(ended.stdout.strip())


def id_of(key: str) -> str:
    return key.split("_")[1]


def stored(url: str, id: str) -> StoredKey:
    with closing(Database(url)) as database, database.read() as connection:
        return find_key(connection, id)


def test_a_key_is_printed_alone(rota: Rota) -> None:
    ended = rota("create", *CI)

    assert re.fullmatch(r"rota_[a-z2-7]{12}_[0-9A-Za-z]{49}\n", ended.stdout)
    assert "not shown again" in ended.stderr
    assert ended.stdout.strip() not in ended.stderr


def test_who_makes_the_first_key_is_told_what_becomes_of_requests_and_targets(rota: Rota) -> None:
    first, second = rota("create", *CI), rota("create", *CI)

    assert "from now on every request needs a key" in first.stderr
    assert "ROTA_HTTP_TARGETS" in first.stderr
    assert "from now on" not in second.stderr


def test_a_key_is_made_with_all_that_limits_it(rota: Rota, migrated_database_url: str) -> None:
    limits = ("--scope", "work,runs:read", "--task-prefix", "a-", "--task-prefix", "b-")
    quotas = ("--max-tasks", "500", "--max-unfinished-runs", "1000", "--max-kv-bytes", "9000000000")
    key = made(rota, *CI, *limits, *quotas, "--queue", "mail", "--rate", "5", "--expires", "90d")

    found = stored(migrated_database_url, id_of(key))
    assert found.name == "CI"
    assert sorted(found.scopes) == ["runs:read", "tasks:read", "work"]
    assert (found.tasks, found.queues, found.rate) == (("a-", "b-"), ("mail",), 5.0)
    assert (found.max_tasks, found.max_unfinished_runs) == (500, 1_000)
    assert found.max_kv_bytes == 9_000_000_000
    assert found.expires_at is not None
    assert (found.expires_at - found.created_at).days in {89, 90}
    assert found.created_by == "cli"


def test_an_instant_is_an_expiry_as_well(rota: Rota, migrated_database_url: str) -> None:
    key = made(rota, *CI, "--expires", "2999-01-01T00:00:00Z")

    expires_at = stored(migrated_database_url, id_of(key)).expires_at
    assert expires_at is not None
    assert expires_at.year == 2999


@on_sqlite
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--scope", "tasks:reed"), "--scope"),
        (
            ("--task-prefix", "billing-*"),
            "--task-prefix: a name cannot begin so; leave the '*' out",
        ),
        (
            ("--scope", "admin", "--task-prefix", "a-"),
            "--task-prefix: a key with the scope 'admin'",
        ),
        (("--rate", "0"), "--rate"),
        (("--expires", "soon"), "or give a time as RFC 3339 with an offset, such as 2027-05-25"),
        (("--expires", "2020-01-01"), "--expires: give a time as RFC 3339 with an offset"),
        (("--expires", "2027-02-30T00:00:00Z"), "is not a time that exists"),
        (("--expires", "2001-01-01T00:00:00Z"), "--expires: 2001-01-01T00:00:00.000Z has passed"),
        (("--name", "\x1b[31m"), "--name"),
    ],
)
def test_options_that_are_wrong_are_named(rota: Rota, options: tuple[str, ...], words: str) -> None:
    ended = rota("create", *CI, *options)

    assert ended.exit_code == 2
    assert ended.stdout == ""
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


def test_keys_are_listed_without_their_secrets(rota: Rota) -> None:
    first = made(rota, *CI, "--task-prefix", "a-")
    second = made(rota, "--name", "boss", "--scope", "admin")
    rota("revoke", id_of(first))

    live, every = rota("list").stdout.splitlines(), rota("list", "--all").stdout.splitlines()

    assert [line.split()[0] for line in live] == ["ID", id_of(second)]
    assert [line.split()[0] for line in every] == ["ID", id_of(first), id_of(second)]
    assert every[1].split()[1:6] == ["CI", "revoked", "tasks:read", "a-*", "all"]
    for key in (first, second):
        assert key.rpartition("_")[2] not in "".join(every)


def test_a_key_is_revoked(rota: Rota, migrated_database_url: str) -> None:
    id = id_of(made(rota, *CI))

    ended = rota("revoke", id)

    assert (ended.exit_code, ended.stdout) == (0, f"The key {id} (CI) is revoked.\n")
    assert stored(migrated_database_url, id).revoked_by == "cli"


def test_a_key_is_rotated(rota: Rota, migrated_database_url: str) -> None:
    key = made(rota, *CI)

    ended = rota("rotate", id_of(key), "--overlap", "0")

    rotated = parse_key(ended.stdout.strip())
    assert rotated is not None
    found = stored(migrated_database_url, id_of(key))
    assert prove(found, rotated.digest) is not None
    old = parse_key(key)
    assert old is not None
    assert prove(found, old.digest) is None


@on_sqlite
@pytest.mark.parametrize("verb", ["revoke", "rotate"])
def test_a_key_that_does_not_exist_is_named(rota: Rota, verb: str) -> None:
    ended = rota(verb, "a" * 12)

    assert ended.exit_code == 2
    assert "There is no key 'aaaaaaaaaaaa'." in ended.stderr


@on_sqlite
def test_while_a_service_uses_the_file_the_way_over_the_api_is_shown(
    rota: Rota, migrated_database_url: str
) -> None:
    with closing(Database(migrated_database_url)):
        ended = rota("create", *CI)

    assert ended.exit_code == 2
    assert "/v1/keys" in ended.stderr
    assert ended.stdout == ""


@on_sqlite
def test_a_database_without_tables_is_named(
    rota: Rota, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "empty.db").touch()
    monkeypatch.setenv("ROTA_DATABASE_URL", f"sqlite:///{tmp_path}/empty.db")

    ended = rota("create", *CI)

    assert ended.exit_code == 2
    assert ended.stderr == "rota: The database has no tables yet. Run `rota db upgrade`.\n"


@pytest.mark.parametrize(
    "command",
    [("key", "create", *CI), ("key", "list"), ("db", "reseal"), ("db", "backup", "copy.db")],
)
def test_a_command_in_the_wrong_folder_leaves_nothing_there(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ROTA_DATABASE_URL", raising=False)

    ended = CliRunner().invoke(app, [*command])

    assert ended.exit_code == 2
    assert f"There is no database {tmp_path}/rota.db." in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_help_says_what_becomes_of_the_expiry() -> None:
    def help_of(verb: str) -> str:
        shown = CliRunner().invoke(app, ["key", verb, "--help"], env={"COLUMNS": "400"})
        return " ".join(shown.stdout.split())

    assert "without it, never." in help_of("create")
    assert "without it, that stays as it is." in help_of("rotate")


@on_sqlite
def test_what_the_commands_do_is_in_the_audit_log(rota: Rota, migrated_database_url: str) -> None:
    key = made(rota, *CI)
    assert rota("rotate", id_of(key)).exit_code == 0
    assert rota("revoke", id_of(key)).exit_code == 0

    with closing(Database(migrated_database_url)) as database, database.read() as connection:
        entries = list_entries(connection, AuditFilter(), None, 10)
    assert [each.action for each in entries] == ["key.revoked", "key.rotated", "key.created"]
    assert {(each.principal, each.name) for each in entries} == {("cli", id_of(key))}
    assert not any(key.split("_")[2] in str(each) for each in entries)
