"""The sockets of the service."""

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rota.errors import Invalid, Unavailable
from rota.listening import listen


@contextmanager
def listening(host: str, port: int = 0) -> Iterator[list[socket.socket]]:
    made = listen(host, port)
    try:
        yield made
    finally:
        for each in made:
            each.close()


def test_connections_wait_until_they_are_accepted() -> None:
    with (
        listening("127.0.0.1") as (one,),
        socket.create_connection(one.getsockname()) as client,
    ):
        accepted, _ = one.accept()
        with accepted:
            client.sendall(b"x")
            assert accepted.recv(1) == b"x"


def test_all_addresses_of_a_name_have_one_port() -> None:
    with listening("localhost") as made:
        assert len({each.getsockname()[1] for each in made}) == 1


def test_a_port_that_is_in_use_is_named_with_what_to_do() -> None:
    with listening("127.0.0.1") as (one,):
        port = one.getsockname()[1]
        with pytest.raises(Unavailable, match=rf"Port {port} .* in use .* ROTA_PORT"):
            listen("127.0.0.1", port)


def test_an_address_may_be_in_brackets_as_in_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening("[127.0.0.1]") as (one,):
        assert one.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize(
    ("host", "kind", "words"),
    [
        ("no.such.host.invalid", Invalid, "ROTA_HOST"),
        ("192.0.2.1", Unavailable, "192.0.2.1 is no address of this machine"),
    ],
)
def test_a_host_that_is_not_an_address_of_this_machine_is_refused(
    host: str, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        listen(host, 0)


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.EACCES, "may not be used by this user"), (errno.ENOBUFS, "Cannot listen")],
)
def test_other_errors_of_listening_are_reported(
    monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr("rota.listening._listen_on", refuse)

    with pytest.raises(Unavailable, match=words):
        listen("127.0.0.1", 80)


def test_an_address_that_this_machine_does_not_have_is_skipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    addresses = [
        (socket.AF_INET, ("192.0.2.1", 0)),
        (socket.AF_INET, ("127.0.0.1", 0)),
    ]
    monkeypatch.setattr("rota.listening._addresses", lambda *_: addresses)

    with listening("localhost") as (one,):
        assert one.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("0.0.0.0", None),
        ("::", None),
        ("", None),
        ("127.evil.example", ("192.0.2.1",)),
        ("localhost", ("127.0.0.1", "192.0.2.1")),
        ("mapped", ("::ffff:192.0.2.1",)),
    ],
)
def test_without_a_key_only_loopback_is_listened_on_whatever_its_name(
    monkeypatch: pytest.MonkeyPatch, host: str, found: tuple[str, ...] | None
) -> None:
    if found is not None:
        addresses = [(socket.AF_INET, (address, 0)) for address in found]
        monkeypatch.setattr("rota.listening._addresses", lambda *_: addresses)

    with pytest.raises(Invalid, match=r"ROTA_API_KEY|ROTA_HOST"):
        listen(host, 0, only_loopback=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "[127.0.0.2]", "localhost"])
def test_without_a_key_every_loopback_address_is_accepted(host: str) -> None:
    made = listen(host, 0, only_loopback=True)
    for each in made:
        each.close()
    assert made
