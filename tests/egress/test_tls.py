"""TLS: the certificate is that of the name; faults of the handshake are reported."""

import socket
from pathlib import Path
from typing import Any

import pytest

from rota.domain.http_target.phases import CallPhase
from tests.egress.calls import failed, get, on_a_loop, timed_out
from tests.egress.certificates import certificate, server_context
from tests.egress.hostile import OK, Peer, always, serving
from tests.support.factories import eventually

NAME = "app.example"


@pytest.fixture(autouse=True)
def names_are_on_the_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(_host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def test_a_trusted_server_gets_the_name_and_keeps_its_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = certificate(tmp_path, NAME)
    context, asked = server_context(path), []
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with serving(always(OK), context) as server:
        first, second = (get(server.url(scheme="https", host=NAME)) for _ in range(2))

        async def work(client: Any) -> None:
            await client.send(first)
            assert list(first.phases.timings()) == [
                "dns",
                "connect",
                "tls",
                "write",
                "wait",
                "read",
            ]
            await client.send(second)

        on_a_loop(work)

        assert (asked, server.connections) == ([NAME], 1)
        assert all(b"Host: app.example:" in request for request in server.requests)


@pytest.mark.parametrize(
    ("name", "days", "trusted", "said"),
    [
        (NAME, 1, False, "self-signed certificate"),
        (NAME, -1, True, "certificate has expired"),
        ("other.example", 1, True, "Hostname mismatch"),
    ],
)
def test_a_certificate_that_is_not_valid_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, days: int, trusted: bool, said: str
) -> None:
    path = certificate(tmp_path, name, days=days)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with serving(always(OK), server_context(path)) as server:
        error = failed(server.url(scheme="https", host=NAME))

        assert (error.kind, error.phase, server.requests) == ("http.connect", CallPhase.TLS, [])
        assert str(error).startswith(f"{NAME}: its certificate is not valid: ")
        assert said in str(error)


@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x01\x00\x02\x02\x28"]
)
def test_a_server_that_speaks_no_tls_fails_in_that_phase(said: bytes) -> None:
    def answer(peer: Peer) -> None:
        peer.send(said)
        peer.wait()

    with serving(answer) as server:
        error = failed(server.url(scheme="https", host=NAME))

    assert (error.kind, error.phase) == ("http.connect", CallPhase.TLS)


def test_a_server_that_closes_in_the_handshake_fails_in_that_phase() -> None:
    def answer(peer: Peer) -> None:
        peer.socket.recv(1)
        peer.reset()

    with serving(answer) as server:
        error = failed(server.url(scheme="https", host=NAME))

    assert (error.kind, error.phase) == ("http.connect", CallPhase.TLS)


def test_a_handshake_that_stalls_ends_with_the_deadline_and_is_closed() -> None:
    with serving(Peer.wait) as server:
        request = timed_out(server.url(scheme="https", host=NAME))
        eventually(lambda: server.closed)

    assert request.phases.current is CallPhase.TLS
