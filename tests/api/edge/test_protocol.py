"""What a connection may cost before authentication: over sockets, byte by byte, with short deadlines."""

import asyncio
import logging
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from rota.api.edge.connections import Connections
from rota.api.edge.limits import Limits
from tests.api.edge.service import LARGE, MEBIBYTE, Answer, Client, Edge, request, serving
from tests.support.factories import DEADLINE, eventually

KIBIBYTE = 1_024
PATIENT = Limits(look_every=0.02, farewell=0.5)
HASTY = Limits(
    look_every=0.02,
    first_byte=0.3,
    head=0.3,
    body_rate=10_000,
    body_grace=0.3,
    answer_grace=0.3,
    unread_body=0.3,
    farewell=0.3,
)
PIPELINED = 2_000


@pytest.fixture(scope="module")
def patient() -> Iterator[Edge]:
    """A server of which only the sizes matter."""
    with serving(PATIENT) as made:
        yield made


@pytest.fixture(scope="module")
def hasty() -> Iterator[Edge]:
    """A server with deadlines of less than a second."""
    with serving(HASTY) as made:
        yield made


# ------------------------------------------------------------------------------------------------------------- sizes


def test_headers_up_to_the_limit_are_accepted(patient: Edge) -> None:
    client = patient.connect()
    head = request("/ok", "X: ")
    padded = head.replace(b"X: ", b"X: " + b"a" * (64 * KIBIBYTE - len(head)))
    assert len(padded) == 64 * KIBIBYTE
    many = request("/ok", *(f"X-{number}: 1" for number in range(99)))

    assert [client.ask(padded).status, client.ask(many).status] == [200, 200]


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(request("/ok", f"X: {'a' * 64 * KIBIBYTE}"), id="one that is large"),
        pytest.param(b"GET /ok HTTP/1.1\r\nX: " + b"a" * 200_000, id="one that does not end"),
        pytest.param(b"GET /ok HTTP/1.1\r\nX:" + b" " * 200_000, id="one that does not begin"),
        pytest.param(request("/ok", *(f"X-{n}: 1" for n in range(100))), id="one too many"),
        pytest.param(b"GET /ok HTTP/1.1\r\n" + b"a:\r\n" * 20_000, id="many that do not end"),
        pytest.param(b"\r\n" * 40_000, id="empty lines before the request"),
    ],
)
def test_headers_over_the_limit_are_431(patient: Edge, head: bytes) -> None:
    client = patient.connect()

    answer = client.ask(head)

    assert (answer.status, answer.problem["type"]) == (431, "/problems/headers-too-large")
    assert "100 headers" in answer.problem["detail"]
    assert "65536 bytes" in answer.problem["detail"]
    assert answer.headers["connection"] == "close"
    assert client.rest() == b""


@pytest.mark.parametrize("end", [b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b"", b"a" * 100_000])
def test_a_url_over_the_limit_is_414(patient: Edge, end: bytes) -> None:
    fits = request(f"/ok?{'a' * (8 * KIBIBYTE - 4)}")
    assert patient.connect().ask(fits).status == 200
    client = patient.connect()

    answer = client.ask(b"GET /ok?" + b"a" * (8 * KIBIBYTE - 3) + end)

    assert (answer.status, answer.problem["type"]) == (414, "/problems/url-too-long")
    assert client.rest() == b""


def test_trailers_are_limited_as_headers_are_and_ignored(patient: Edge) -> None:
    head = request("/length", "Transfer-Encoding: chunked", method="POST") + b"1\r\nx\r\n0\r\n"
    client = patient.connect()

    assert client.ask(head + b"If-Match: 1\r\n\r\n").body == b"1"
    assert b"if-match" not in patient.app.headers

    many = b"".join(b"X-%d: 1\r\n" % number for number in range(200))
    for trailers in (
        many + b"\r\n",
        many,
        b"X: " + b"a" * 300_000,
        b"X: " + b"a" * 66_000 + b"\r\n\r\n",
    ):
        refused = patient.connect().ask(head + trailers)
        assert (refused.status, refused.problem["type"]) == (431, "/problems/headers-too-large")


def test_an_extension_of_a_chunk_is_bounded(patient: Edge) -> None:
    head = request("/length", "Transfer-Encoding: chunked", method="POST")

    assert patient.connect().ask(head + b"1;" + b"a" * 400_000).status == 431


def test_a_header_that_never_ends_costs_no_more_than_the_limit(patient: Edge) -> None:
    client = patient.connect()
    client.send(b"GET /ok HTTP/1.1\r\nX: ")
    connection = patient.connection(client)
    fed: list[int] = []
    parser = connection.parser

    class Counting:
        def feed_data(self, data: bytes) -> None:
            fed.append(len(data))
            parser.feed_data(data)

        def get_method(self) -> bytes:
            return parser.get_method()

    connection.parser = Counting()
    for _ in range(32):
        client.send(b"a" * MEBIBYTE)

    assert client.answer().status == 431
    assert sum(fed) <= 64 * KIBIBYTE


# -------------------------------------------------------------------------------------------------------- pipelining


def test_requests_sent_at_once_are_answered_in_order(patient: Edge) -> None:
    client = patient.connect()
    body = b"\r\n\r\nGET /ok HTTP/1.1\r\n\r\n"  # is no request of its own
    sent = request("/length", f"Content-Length: {len(body)}", method="PUT") + body
    chunked = request("/length", "Transfer-Encoding: chunked", method="PUT")
    chunked += b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    several = request() + sent + chunked + request()
    answers = [b"ok", b"%d" % len(body), b"%d" % len(body), b"ok"]

    for size in (len(several) * 50, 1, 3, 7, 64):
        count = 50 if size > 64 else 2
        for part in _parts(several * count, size):
            client.send(part)
        assert [client.answer().body for _ in range(4 * count)] == answers * count


def test_the_next_request_is_not_read_before_the_response_is_sent(patient: Edge) -> None:
    patient.app.go_on.clear()
    before = len(patient.app.begun)
    client = patient.connect()
    client.send(request("/slow"))
    eventually(lambda: len(patient.app.begun) == before + 1, "it does not begin")
    connection = patient.connection(client)

    client.socket.settimeout(0.2)
    with pytest.raises(TimeoutError):  # the buffers of the system are full
        client.socket.sendall(request() * (64 * MEBIBYTE // len(request())))

    assert len(connection.pipeline) <= 1
    assert len(patient.app.begun) == before + 1
    patient.app.go_on.set()
    client.socket.settimeout(DEADLINE)
    assert [client.answer().body for _ in range(100)] == [b"slow"] + [b"ok"] * 99
    client.close()
    eventually(lambda: connection not in patient.server.server_state.connections)


def test_an_application_that_waits_and_reads_does_not_admit_the_next_request(patient: Edge) -> None:
    before = len(patient.app.begun)
    client = patient.connect()

    client.send(request("/gone") + request() * PIPELINED)

    eventually(lambda: len(patient.app.begun) == before + 1, "it does not begin")
    connection = patient.connection(client)
    for _ in range(20):
        client.send(request() * 100)
    assert not connection.pipeline
    assert len(patient.app.begun) == before + 1


# --------------------------------------------------------------------------------------------------------- deadlines


def test_a_silent_connection_is_closed(hasty: Edge) -> None:
    assert hasty.connect().rest() == b""


@pytest.mark.parametrize("between", [b"", request()])
def test_an_incomplete_head_is_408_after_the_deadline(hasty: Edge, between: bytes) -> None:
    client = hasty.connect()
    if between:
        assert client.ask(between).status == 200
    client.send(b"GET /ok HTTP/1.1\r\nHost: localhost\r\n")

    answer = _drip(client, b"X: 1\r\n")

    assert (answer.status, answer.problem["type"]) == (408, "/problems/request-timeout")
    assert "0.3 s" in answer.problem["detail"]
    assert client.rest() == b""


@pytest.mark.parametrize("kind", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("before", [b"", b"64\r\n" + b"x" * 100 + b"\r\n"])
def test_a_slow_body_is_408(hasty: Edge, kind: str, before: bytes) -> None:
    client = hasty.connect()
    client.send(request("/length", kind, method="PUT") + before)

    answer = _drip(client, b"1\r\nx\r\n" if "chunked" in kind else b"x")

    assert (answer.status, answer.problem["type"]) == (408, "/problems/request-timeout")
    assert "10000 bytes/s" in answer.problem["detail"]
    assert client.rest() == b""
    eventually(lambda: hasty.app.ended == len(hasty.app.begun), "the application waits for ever")


def test_an_unread_body_is_discarded_for_a_limited_time(hasty: Edge) -> None:
    client = hasty.connect()
    client.send(request("/ok", "Transfer-Encoding: chunked", method="PUT"))
    assert client.answer().body == b"ok"
    client.send(b"5\r\nhello\r\n0\r\n\r\n")
    assert client.ask(request()).body == b"ok"

    client.send(request("/ok", "Transfer-Encoding: chunked", method="PUT"))
    assert client.answer().body == b"ok"
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        _send_for_ever(client, b"ffff\r\n" + b"x" * 0xFFFF + b"\r\n")


def test_a_response_that_is_not_received_ends_the_connection(hasty: Edge) -> None:
    ended = hasty.app.ended
    client = hasty.connect()
    client.send(request("/large"))

    eventually(lambda: hasty.app.ended == ended + 1, "the application waits for ever")
    assert len(client.rest()) < LARGE


def test_a_complete_response_that_is_not_received_ends_the_connection(hasty: Edge) -> None:
    client = hasty.connect()
    connection = hasty.connection(client)  # now: it may end before anybody else has looked
    client.send(request("/whole"))
    eventually(lambda: connection.cycle and connection.cycle.response_complete)

    eventually(lambda: connection not in hasty.server.server_state.connections, "it is kept")
    assert len(client.rest()) < LARGE


def test_a_client_that_keeps_up_is_not_disconnected(hasty: Edge) -> None:
    client = hasty.connect()
    client.send(request("/large"))

    assert len(client.answer().body) == LARGE


def test_a_request_that_takes_long_is_not_disconnected(hasty: Edge) -> None:
    hasty.app.go_on.clear()
    client = hasty.connect()
    client.send(request("/slow"))

    client.socket.settimeout(3 * HASTY.first_byte)
    with pytest.raises(TimeoutError):
        client.socket.recv(1)
    hasty.app.go_on.set()
    client.socket.settimeout(DEADLINE)
    assert b"slow" in client.socket.recv(4_096)


# ------------------------------------------------------------------------------------------------------- connections


def test_a_connection_over_the_limit_is_503_and_closed(caplog: pytest.LogCaptureFixture) -> None:
    with serving(Limits(connections=3, look_every=0.02)) as edge, caplog.at_level(logging.WARNING):
        those = [edge.connect() for _ in range(3)]
        assert all(client.ask(request()).status == 200 for client in those)
        for _ in range(20):
            client = edge.connect()
            answer = client.answer()
            assert (answer.status, answer.problem["type"]) == (503, "/problems/unavailable")
            assert "ROTA_MAX_CONNECTIONS" in answer.problem["detail"]
            assert int(answer.headers["retry-after"]) > 0
            assert client.rest() == b""
        assert all(client.ask(request()).status == 200 for client in those)

        those[0].close()
        eventually(lambda: edge.connections == 2, "the connection is not given back")
        assert edge.connect().ask(request()).status == 200
    lines = [
        record.getMessage()
        for record in caplog.records
        if "connections.refused" in record.getMessage()
    ]
    assert 1 <= len(lines) <= 3
    assert all("more than 3 connections" in line for line in lines)


# --------------------------------------------------------------------------------------------------- what is no HTTP


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"\x16\x03\x01\x02\x00\x01", "not HTTP/1.1"),
        (b"GET /ok\r\n\r\n", "HTTP/0.9"),
        (b"GET /ok HTTP/2.0\r\nHost: a\r\n\r\n", "HTTP/2.0"),
        (b"GET ok HTTP/1.1\r\nHost: a\r\n\r\n", "not HTTP/1.1"),
        (b"GET /ok HTTP/1.1\nHost: localhost\n\n", "not HTTP/1.1"),
        (b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", "not HTTP/1.1"),
        (b"GET /ok HTTP/1.1\r\n\r\n", "Host"),
        (b"GET /ok HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", "Host"),
        (b"GET /ok HTTP/1.1\r\nHost: evil@localhost\r\n\r\n", "Host"),
        (b"GET /ok HTTP/1.1\r\nHost: localhost/x\r\n\r\n", "Host"),
        (b"GET /ok HTTP/1.1\r\nHost: localhost:80:80\r\n\r\n", "Host"),
        (b"GET /ok HTTP/1.1\r\nHost: " + b"a" * 1_000 + b"\r\n\r\n", "Host"),
        (request("/length", "Transfer-Encoding: gzip", method="PUT"), "chunked"),
        (request("/length", "Content-Length: 1", "Content-Length: 1", method="PUT"), "Duplicate"),
        (request("/length", "Transfer-Encoding: chunked", method="PUT") + b"nope\r\n", "chunk"),
    ],
)
def test_a_malformed_request_is_a_problem(patient: Edge, sent: bytes, words: str) -> None:
    client = patient.connect()

    answer = client.ask(sent)

    assert (answer.status, answer.problem["type"]) == (400, "/problems/malformed-request")
    assert words in answer.problem["detail"]
    assert client.rest() == b""


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "[::1]:80", "[fe80::1%25eth0]", "a_b.example", ""]
)
def test_a_host_is_a_name_or_an_address_with_a_port(patient: Edge, host: str) -> None:
    sent = f"GET /ok HTTP/1.1\r\nHost: {host}\r\n\r\n"

    assert patient.connect().ask(sent.encode()).status == 200


def test_a_malformed_request_is_refused_after_the_response_to_the_one_before(patient: Edge) -> None:
    patient.app.go_on.clear()
    client = patient.connect()
    client.send(request("/slow") + b"nonsense\r\n\r\n")
    patient.app.go_on.set()

    assert [client.answer().status, client.answer().status] == [200, 400]


def test_a_requested_upgrade_is_ignored_and_the_body_is_read(patient: Edge) -> None:
    client = patient.connect()
    # As Java's client asks for HTTP/2.
    wish = (
        "Connection: Upgrade, HTTP2-Settings",
        "Upgrade: h2c",
        "HTTP2-Settings: AAEAAEAAAAIAAAAB",
    )

    assert client.ask(request("/ok", *wish)).body == b"ok"
    with_length = request("/length", "Content-Length: 5", *wish, method="PUT") + b"hello"
    assert client.ask(with_length + request()).body == b"5"
    assert client.answer().body == b"ok"
    chunked = request("/length", "Transfer-Encoding: chunked", *wish, method="PUT")
    assert client.ask(chunked + b"5\r\nhello\r\n0\r\nA: b\r\n\r\n" + request()).body == b"5"
    assert client.answer().body == b"ok"
    websocket = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    assert client.ask(request("/ok", *websocket)).body == b"ok"


def test_many_malformed_requests_log_one_line_a_second(
    patient: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(200):
            assert patient.connect().ask(b"nonsense\r\n\r\n").status == 400
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) < 10
    assert all("connections.refused" in line for line in lines)


def _parts(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def _send_for_ever(client: Client, data: bytes) -> None:
    while True:
        client.socket.sendall(data)


def _drip(client: Client, data: bytes) -> Answer:
    """Send a little again and again until there is an answer."""
    client.socket.settimeout(0.05)
    for _ in range(400):
        client.send(data)
        with suppress(TimeoutError):
            assert client.socket.recv(1, socket.MSG_PEEK)
            break
    client.socket.settimeout(DEADLINE)
    return client.answer()


# ---------------------------------------------------------------------------------------------------------- mishaps


class Looked:
    """A connection that fails when it is checked, or reports that it was."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error
        self.was = asyncio.Event()

    def look(self, now: float) -> None:
        assert now >= 0
        if self._error is not None:
            raise self._error
        self.was.set()


def test_an_error_at_one_connection_leaves_the_others_their_deadlines() -> None:
    async def met() -> list[Exception]:
        loop = asyncio.get_running_loop()
        errors: list[Exception] = []
        failed = asyncio.Event()

        def note(_loop: object, context: dict[str, Any]) -> None:
            errors.append(context["exception"])
            failed.set()

        loop.set_exception_handler(note)
        connections = Connections(Limits(look_every=0.01))
        broken, other = Looked(ZeroDivisionError("in one look")), Looked()
        async with asyncio.timeout(DEADLINE):
            connections.admit(broken, loop)
            await failed.wait()
            connections.leave(broken)
            connections.admit(other, loop)
            await other.was.wait()
        connections.leave(other)
        return errors

    assert {str(each) for each in asyncio.run(met())} == {"in one look"}


def test_no_100_continue_is_sent_after_a_refusal(caplog: pytest.LogCaptureFixture) -> None:
    """An application that reads only then would have `100 Continue` written into a connection that is at its end."""
    head = request("/late", "Expect: 100-continue", "Transfer-Encoding: chunked", method="POST")
    with serving(PATIENT) as edge:
        client = edge.connect()
        client.send(head)
        eventually(lambda: edge.app.begun)

        refused = client.ask(b"this is no chunk\r\n")
        edge.app.go_on.set()

        assert refused.problem["type"] == "/problems/malformed-request"
        assert client.rest() == b""
        eventually(lambda: edge.app.ended)
        assert edge.app.headers[b"expect"] == b"100-continue", "what it read was an error"
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]
