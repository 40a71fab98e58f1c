"""What a server reads of a request before the application sees it: over a real socket, byte by byte."""

import socket
from collections.abc import Callable

import pytest

from tests.acceptance.server import Server
from tests.support.factories import eventually

pytestmark = pytest.mark.parametrize("database_engine", ["sqlite"], indirect=True)

PLAIN = "GET /v1/tasks HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{}\r\n"


@pytest.fixture
def server(serve: Callable[..., Server]) -> Server:
    made = serve()
    made.start()
    return made


def test_without_a_key_a_request_must_come_from_a_program_of_this_machine(server: Server) -> None:
    assert _status(server, PLAIN.format("")) == 200
    # uvicorn believes a proxy on the same machine unless it is configured not to.
    assert _status(server, PLAIN.format("X-Forwarded-For: 127.0.0.1\r\n")) == 403
    assert _status(server, PLAIN.format("X-Forwarded-Proto: https\r\n")) == 403
    # As nginx sends it with nothing but `proxy_pass http://127.0.0.1:8000`.
    proxied = (
        f"GET /v1/tasks HTTP/1.0\r\nHost: 127.0.0.1:{server.port}\r\nConnection: close\r\n\r\n"
    )
    assert _status(server, proxied) == 403


def test_a_target_in_absolute_form_does_not_circumvent_the_check_of_the_host(
    server: Server,
) -> None:
    rest = " HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n"

    foreign = "GET http://evil.example.com/v1/tasks" + rest.format("evil.example.com")
    own = f"GET http://localhost:{server.port}/v1/tasks" + rest.format(f"localhost:{server.port}")

    assert _status(server, foreign) == 421
    assert _status(server, own) == 200


def test_a_second_host_is_refused(server: Server) -> None:
    assert _status(server, PLAIN.format("Host: evil.example.com\r\n")) == 400


def test_the_service_applies_the_limits_on_connections(serve: Callable[..., Server]) -> None:
    server = serve(max_connections=2, log_format="json")
    server.start()

    assert _status(server, PLAIN.format(f"X: {'a' * 70_000}\r\n")) == 431
    address = ("127.0.0.1", server.port)
    with socket.create_connection(address), socket.create_connection(address):
        assert _status(server, "") == 503
    eventually(lambda: "more than 2 connections" in server.log.read_text(), "the log has no line")


def _status(server: Server, request: str) -> int:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(request.encode())
        answer = connection.makefile("rb").read()
    return int(answer.split(b" ", 2)[1])
