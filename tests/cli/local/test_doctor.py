"""`rota doctor`: every finding names its fix; it works beside a running service."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rota.cli import app
from rota.cli.local.health.file_systems import file_system_of, is_network
from rota.db.engine import Database
from tests.acceptance.server import free_port
from tests.support.connects import Connects

Doctor = Callable[..., dict[str, dict[str, Any]]]
on_sqlite = pytest.mark.parametrize("database_engine", ["sqlite"], indirect=True)


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch, migrated_database_url: str, tmp_path: Path) -> Doctor:
    """Runs it with some settings; returns the worst finding of each subject."""
    monkeypatch.setenv("ROTA_DATABASE_URL", migrated_database_url)
    monkeypatch.setenv("ROTA_PORT", str(free_port()))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("ROTA_API_KEY", raising=False)
    monkeypatch.delenv("ROTA_HANDLERS", raising=False)
    if migrated_database_url.startswith("sqlite"):
        Path(migrated_database_url.removeprefix("sqlite:///")).chmod(0o600)

    def call(**settings: str) -> dict[str, dict[str, Any]]:
        environment = {f"ROTA_{name.upper()}": value for name, value in settings.items()}
        ended = CliRunner().invoke(app, ["doctor", "--json"], env=environment)
        findings = json.loads(ended.stdout)["findings"]
        assert all(each["fix"] for each in findings if each["level"] != "ok")
        assert ended.exit_code == any(each["level"] == "error" for each in findings)
        order = ("ok", "warning", "error")
        found: dict[str, dict[str, Any]] = {}
        for each in sorted(findings, key=lambda finding: order.index(finding["level"])):
            found[each["subject"]] = each
        return found

    return call


def test_nothing_is_wrong_beside_a_running_service(
    doctor: Doctor, migrated_database_url: str
) -> None:
    with closing(Database(migrated_database_url)):
        found = doctor()

    assert {name: each["level"] for name, each in found.items() if each["level"] != "ok"} == {}
    wanted = {
        "settings",
        "port",
        "time zones",
        "handlers",
        "extras",
        "database",
        "keys",
        "encryption",
    }
    assert wanted <= set(found)


@on_sqlite
@pytest.mark.parametrize(
    ("settings", "subject", "level", "fix"),
    [
        ({"port": "x"}, "settings", "error", "docs/configuration.md"),
        ({"concurency": "3"}, "settings", "warning", "ROTA_CONCURRENCY"),
        ({"url": "http://x", "key": "k", "context": "c"}, "settings", "ok", ""),
        ({"http_targets": "nonsense//"}, "settings", "error", "docs/configuration.md"),
        ({"secret_crm_file": "/no/such"}, "settings", "error", "Correct"),
        ({"handlers": "no_such_module"}, "handlers", "error", "ROTA_HANDLERS"),
        ({"database_url": "sqlite:////no/such/folder/x.db"}, "database", "warning", "rota serve"),
        ({"database_url": "mysql://x"}, "database", "error", "ROTA_DATABASE_URL"),
        ({"host": "0.0.0.0"}, "keys", "error", "rota key create"),
        ({"host": "0.0.0.0", "api_key": "k" * 20}, "keys", "ok", ""),
        ({"host": "no.such.host.invalid"}, "port", "error", "ROTA_HOST"),
        ({"encryption_keys": "a:" + "A" * 43 + "="}, "encryption", "ok", ""),
    ],
)
def test_a_finding_names_its_fix(
    doctor: Doctor, settings: dict[str, str], subject: str, level: str, fix: str
) -> None:
    found = doctor(**settings)[subject]

    assert found["level"] == level, found
    assert fix in (found["fix"] or "")


@on_sqlite
def test_keys_without_an_administrator_are_found(doctor: Doctor) -> None:
    CliRunner().invoke(app, ["key", "create", "--name", "CI", "--scope", "tasks:read"])
    without = doctor()["keys"]
    CliRunner().invoke(app, ["key", "create", "--name", "ops", "--scope", "admin"])

    assert without["level"] == "error"
    assert "rota key create" in without["fix"]
    assert doctor()["keys"]["level"] == "ok"


@on_sqlite
def test_a_file_that_others_can_read_is_found(doctor: Doctor, migrated_database_url: str) -> None:
    path = Path(migrated_database_url.removeprefix("sqlite:///"))
    path.chmod(0o644)

    assert doctor()["database"]["fix"] == f"chmod 600 {path}"


@on_sqlite
def test_a_file_of_contexts_that_others_can_read_is_found(doctor: Doctor, tmp_path: Path) -> None:
    path = tmp_path / "rota" / "contexts.toml"
    path.parent.mkdir()
    path.touch(0o644)

    assert doctor()["contexts"]["fix"] == f"chmod 600 {path}"


@pytest.fixture
def _it_may_connect(connects: Connects) -> Iterator[None]:
    """The command is not the service, which connects by the guard only."""
    yield
    connects.unguarded.clear()


@contextmanager
def answering(status: int, body: bytes) -> Iterator[int]:
    """Something that answers every request; yields its port."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@on_sqlite
@pytest.mark.usefixtures("_it_may_connect")
@pytest.mark.parametrize(
    ("status", "body", "level", "words"),
    [
        (200, b'{"status": "ok"}', "ok", "Rota answers on"),
        (503, b'{"status": "unavailable"}', "error", "is not ready (503)"),
        (200, b"<html>", "error", "it is not Rota"),
    ],
)
def test_what_has_the_port_is_asked(
    doctor: Doctor, status: int, body: bytes, level: str, words: str
) -> None:
    with answering(status, body) as port:
        found = doctor(port=str(port))["port"]

    assert found["level"] == level
    assert words in found["message"]


@on_sqlite
@pytest.mark.usefixtures("_it_may_connect")
def test_a_port_that_does_not_speak_http_is_no_rota(doctor: Doctor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def close_at_once() -> None:
            other.accept()[0].close()

        closer = threading.Thread(target=close_at_once)
        closer.start()
        found = doctor(port=str(other.getsockname()[1]))["port"]
        closer.join()

    assert found["level"] == "error"
    assert "ROTA_PORT" in found["fix"]


def test_the_file_system_is_that_of_the_nearest_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/a / ext4 rw 0 0\nserver:/x /srv/shared nfs4 rw 0 0\n"
        "b /srv/my\\040disk fuse.sshfs rw 0 0\nt /srv/shared/local tmpfs rw 0 0\n"
    )
    kinds = {
        path: file_system_of(Path(path), mounts)
        for path in ("/srv/rota.db", "/srv/shared/rota.db", "/srv/my disk/r", "/srv/shared/local/r")
    }

    assert list(kinds.values()) == ["ext4", "nfs4", "fuse.sshfs", "tmpfs"]
    assert [is_network(each) for each in kinds.values()] == [False, True, True, False]
    assert file_system_of(Path("/x"), tmp_path / "none") == ""


@on_sqlite
def test_findings_are_printed_with_their_fixes_below_them(doctor: Doctor) -> None:
    ended = CliRunner().invoke(app, ["doctor"], env={"ROTA_HANDLERS": "no_such_module"})

    lines = ended.stdout.splitlines()
    at = next(index for index, line in enumerate(lines) if line.startswith("error    handlers: "))
    assert lines[at + 1] == "         → Correct it, or take it out of ROTA_HANDLERS"
    assert lines[-1].startswith("1 error, 0 warnings, ")


@on_sqlite
def test_handlers_that_only_rota_dev_would_load_are_found(
    doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert doctor()["handlers"]["level"] == "ok"

    (tmp_path / "handlers.py").write_text("from rota import handler\n")

    found = doctor()["handlers"]
    assert (found["level"], found["fix"]) == ("warning", "ROTA_HANDLERS=handlers.py rota serve")
