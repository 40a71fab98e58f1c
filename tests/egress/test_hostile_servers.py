"""Servers that never end, say too much, break the protocol or break off: each fails a call, within its time."""

import gc
import gzip
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from rota.domain.http_target.phases import CallPhase
from tests.egress.calls import failed, sent, timed_out
from tests.egress.hostile import Peer, Server, always, serving
from tests.support.factories import eventually

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="memory is measured with /proc")
HEAD = b"HTTP/1.1 200 OK\r\n"


def after_a_request(act: Callable[[Peer], None]) -> Callable[[Peer], None]:
    def answer(peer: Peer) -> None:
        peer.request()
        act(peer)

    return answer


@pytest.mark.parametrize(
    ("act", "phase"),
    [
        (Peer.wait, CallPhase.WAIT),
        (lambda peer: peer.repeat(b"H", 0.02), CallPhase.READ),
        (lambda peer: (peer.send(HEAD), peer.repeat(b"X: 1\r\n", 0.02)), CallPhase.READ),
        (
            lambda peer: (
                peer.send(HEAD + b"Content-Length: 9999\r\n\r\n"),
                peer.repeat(b"x", 0.02),
            ),
            CallPhase.READ,
        ),
        (
            lambda peer: (
                peer.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n"),
                peer.repeat(b"1\r\nx\r\n", 0.02),
            ),
            CallPhase.READ,
        ),
        (lambda peer: peer.repeat(b"HTTP/1.1 100 Continue\r\n\r\n", 0.02), CallPhase.READ),
        (lambda peer: peer.repeat(b"HTTP/1.1 103 Early Hints\r\n\r\n", 0.02), CallPhase.READ),
        (lambda peer: (peer.send(HEAD + b"\r\n"), peer.wait()), CallPhase.READ),
    ],
    ids=["silence", "drip", "headers", "body", "chunks", "100", "103", "no-length"],
)
def test_no_server_stretches_the_deadline(act: Callable[[Peer], None], phase: CallPhase) -> None:
    with serving(after_a_request(act)) as server:
        request = timed_out(server.url())
        _wait_until_closed(server)

    assert request.phases.current is phase


def test_a_server_that_reads_nothing_does_not_stretch_the_deadline_either() -> None:
    def answer(peer: Peer) -> None:
        peer.over.wait()

    with serving(answer) as server:
        request = timed_out(server.url())

    assert request.phases.current is CallPhase.WAIT


@pytest.mark.parametrize(
    "flood",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n",
    ],
)
def test_a_flood_of_interim_replies_is_given_up(flood: bytes) -> None:
    with serving(after_a_request(lambda peer: peer.repeat(flood * 100))) as server:
        error = failed(server.url())

    assert (error.kind, error.phase) == ("http.protocol", CallPhase.TOO_LARGE)
    assert "131,072 bytes before the body" in str(error)


@pytest.mark.parametrize("name", ["X: 1\r\n", "X" * 1_000, "X: " + "y" * 1_000])
def test_headers_without_end_are_given_up(name: str) -> None:
    def act(peer: Peer) -> None:
        peer.send(HEAD)
        peer.repeat(name.encode() * 100)

    with serving(after_a_request(act)) as server:
        error = failed(server.url())

    assert error.kind == "http.protocol"


def test_a_reply_with_very_many_headers_is_given_up() -> None:
    many = b"".join(b"X-%d: 1\r\n" % number for number in range(501))
    with serving(always(HEAD + many + b"Content-Length: 2\r\n\r\nok")) as server:
        error = failed(server.url())

    assert (error.kind, error.phase) == ("http.protocol", CallPhase.TOO_LARGE)
    assert str(error) == "127.0.0.1: it sent 502 headers"


def test_chunks_that_are_mostly_something_else_are_given_up() -> None:
    def act(peer: Peer) -> None:
        peer.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        peer.repeat(b"1;" + b"e" * 8_000 + b"\r\nx\r\n")

    with serving(after_a_request(act)) as server:
        error = failed(server.url())

    assert (error.kind, error.phase) == ("http.protocol", CallPhase.TOO_LARGE)


@pytest.mark.parametrize(
    "reply",
    [
        b"hello",
        b"<html>\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
        b"HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 1000 High\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nokk",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 99999999999999999999999999\r\n\r\nx",
        HEAD + b"Transfer-Encoding: gzip\r\n\r\nx",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nok\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nok\r\n0\r\n\r\n",
        HEAD + b"Content-Length: 10\r\n\r\nok",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
        HEAD + b"Bad Header: 1\r\n\r\n",
        HEAD + b"X: a\x00b\r\n\r\n",
        HEAD + b" folded\r\n\r\n",
        b"",
    ],
)
def test_a_reply_that_is_not_http_fails_with_a_category(reply: bytes) -> None:
    with serving(after_a_request(lambda peer: peer.send(reply))) as server:
        error = failed(server.url())

    assert error.kind in {"http.protocol", "http.disconnected"}
    assert error.phase in {CallPhase.WAIT, CallPhase.READ}


@pytest.mark.parametrize("begun", [b"", HEAD, HEAD + b"Content-Length: 9\r\n\r\n123"])
def test_a_reset_at_any_point_fails_the_call(begun: bytes) -> None:
    def act(peer: Peer) -> None:
        peer.send(begun) if begun else None
        peer.reset()

    with serving(after_a_request(act)) as server:
        assert failed(server.url()).kind in {"http.protocol", "http.disconnected"}


def test_a_connection_that_is_closed_before_the_request_fails_the_call() -> None:
    with serving(Peer.reset) as server:  # perhaps before the client has seen it
        assert failed(server.url()).kind in {"http.protocol", "http.disconnected", "http.connect"}


def test_a_switch_of_protocols_is_not_followed() -> None:
    switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nmore"
    with serving(always(switch)) as server:
        assert failed(server.url()).kind == "http.protocol"


def test_an_old_server_without_a_length_is_read_to_its_end() -> None:
    reply = b"HTTP/1.0 200 OK\r\n\r\nok"
    with serving(after_a_request(lambda peer: peer.send(reply))) as server:
        response = sent(server.url())

    assert (response.status, response.body, response.truncated) == (200, b"ok", False)


@cache
def _bomb(coding: str) -> bytes:
    """Return 16 MiB in a content coding; gzip, if it is one that the client does not know."""
    zeros = bytes(16 << 20)
    match coding:
        case "deflate":
            return zlib.compress(zeros)
        case "x-gzip":  # of many members
            return gzip.compress(zeros[: 1 << 20]) * 16
        case "gzip, gzip":
            return gzip.compress(_bomb("gzip"))
        case _:
            return gzip.compress(zeros)


@on_linux
@pytest.mark.parametrize(
    "coding", ["gzip", "deflate", "x-gzip", "gzip, gzip", "br", "zstd", ", ".join(["gzip"] * 20)]
)
def test_a_bomb_costs_less_than_five_mebibytes(coding: str) -> None:
    body = _bomb(coding)
    head = f"Content-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n"
    with serving(always(HEAD + head.encode() + body)) as server:
        sent(server.url())  # what is loaded once
        with growth() as grown:
            response = sent(server.url())

    assert len(response.body) <= 65_536
    assert grown() < 5 << 20


@on_linux
def test_an_endless_body_costs_less_than_five_mebibytes() -> None:
    block = b"x" * 65_536

    def act(peer: Peer) -> None:
        peer.send(HEAD + b"Content-Length: 999999999999\r\n\r\n")
        peer.repeat(block)

    with serving(after_a_request(act)) as server:
        sent(server.url())
        with growth() as grown:
            response = sent(server.url())

    assert (len(response.body), response.truncated) == (65_536, True)
    assert grown() < 5 << 20


@pytest.mark.parametrize(
    "value", ["a\x1b[2J", "<script>alert(1)</script>", "a\u00e9", "a\tb", "x" * 60_000]
)
def test_headers_are_passed_on_as_they_are(value: str) -> None:
    reply = HEAD + f"X-Odd: {value}\r\n".encode("latin-1") + b"Content-Length: 2\r\n\r\nok"
    with serving(always(reply)) as server:
        response = sent(server.url())

    assert response.headers["x-odd"] == value


@contextmanager
def growth() -> Iterator[Callable[[], int]]:
    """Give a function that returns by how many bytes the memory of this process grew at most, within the block."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins again here
    before = _memory("VmRSS")
    peak = [0]
    yield lambda: peak[0] - before
    peak[0] = _memory("VmHWM")


def _memory(name: str) -> int:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith(name))


def _wait_until_closed(server: Server) -> None:
    """Wait until the server has noticed that the client has closed the connection."""
    eventually(lambda: server.closed)
