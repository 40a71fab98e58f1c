"""What slow clients may keep of the service itself: files of exports; and what may take its time."""

import socket
from collections.abc import Iterator
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryFile
from typing import IO
from urllib.parse import urlsplit

import httpx
import pytest

from rota.api.edge.limits import Limits
from rota.api.kv import transfer as kv_transfer
from rota.settings import Settings
from tests.contract.conftest import HANDLERS, listening
from tests.support.factories import DEADLINE, eventually

HASTY = Limits(
    look_every=0.02, first_byte=0.3, head=0.3, body_grace=0.3, answer_grace=0.3, unread_body=0.3
)
MANUAL = {"handler": "echo", "schedule": {"type": "manual"}}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[str]:
    """The URL of a service whose deadlines for clients are short."""
    path = tmp_path_factory.mktemp("slow") / "rota.db"
    copyfile(sqlite_template, path)
    settings = Settings(database_url=f"sqlite:///{path}", handlers=(HANDLERS,), drain_grace=0)
    with listening(settings, HASTY) as made:
        yield made


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=DEADLINE, trust_env=False) as made:
        yield made


def test_an_export_that_is_not_received_leaves_no_file(
    url: str, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    spools: list[IO[bytes]] = []

    def spool() -> IO[bytes]:
        spools.append(TemporaryFile())  # noqa: SIM115  # the service closes it
        return spools[-1]

    monkeypatch.setattr(kv_transfer, "TemporaryFile", spool)
    assert client.put("/v1/tasks/large", json=MANUAL).status_code == 201
    for number in range(48):
        entry = {"value": "x" * 250_000}
        assert client.put(f"/v1/tasks/large/kv/{number}", json=entry).status_code == 201

    with _send(url, "/v1/tasks/large/kv/export"):
        eventually(lambda: len(spools) == 1)
        eventually(lambda: spools[0].closed, "the file is kept")
    assert len(client.get("/v1/tasks/large/kv/export").content) > 12_000_000
    assert client.head("/v1/tasks/large/kv/export").status_code == 200
    assert len(spools) == 3
    eventually(lambda: all(each.closed for each in spools), "a file is kept")


def test_a_quiet_stream_stays_open(url: str, client: httpx.Client) -> None:
    assert client.put("/v1/tasks/deleted", json=MANUAL).status_code == 201
    with _send(url, "/v1/events?type=task.deleted") as stream:
        assert b"200 OK" in stream.recv(4_096)
        _check_open(stream)

        assert client.delete("/v1/tasks/deleted").is_success
        assert b"task.deleted" in _until(stream, b"task.deleted")


def test_a_request_that_waits_stays_open(url: str, client: httpx.Client) -> None:
    assert client.put("/v1/tasks/waits", json=MANUAL | {"queue": "held"}).status_code == 201
    assert client.put("/v1/queues/held", json={"paused": True}).is_success
    run = client.post("/v1/tasks/waits/run").json()["id"]
    with _send(url, f"/v1/runs/{run}?wait=20") as waiting:
        _check_open(waiting)

        assert client.put("/v1/queues/held", json={"paused": False}).is_success
        assert b'"succeeded"' in _until(waiting, b'"succeeded"')


def _send(url: str, path: str) -> socket.socket:
    """Send a request; the caller reads the response."""
    made = socket.socket()
    made.settimeout(DEADLINE)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    made.connect(("127.0.0.1", urlsplit(url).port or 0))
    made.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return made


def _check_open(connection: socket.socket) -> None:
    """Check that a connection outlives the deadlines, whatever it receives first."""
    connection.settimeout(3 * HASTY.first_byte)
    with pytest.raises(TimeoutError):
        _until(connection, b"never sent")
    connection.settimeout(DEADLINE)


def _until(connection: socket.socket, text: bytes) -> bytes:
    received = b""
    while text not in received:
        received += (part := connection.recv(4_096))
        assert part, received
    return received
