"""A real proxy on the loopback: it tunnels (CONNECT), and passes on requests of http with their whole URL."""

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from rota.domain.hosts.policy import TargetPolicy
from rota.egress.guard import Guard, OwnEndpoint
from rota.egress.proxy import HttpProxy
from rota.settings import Settings
from tests.egress.hostile import Peer, Server, serving


@dataclass
class Proxy:
    """A proxy, and the heads of what it was asked for. All names are on the loopback for it, but those in `refused`.

    `refused`: what it answers in place of a connection, by host; b"" for nothing at all.
    """

    server: Server
    refused: dict[str, bytes] = field(default_factory=dict)

    @property
    def asked(self) -> list[str]:
        return [head.split(b"\r\n")[0].decode() for head in self.server.requests]

    def guard(self, *entries: str, no_proxy: str = "", credentials: str = "") -> Guard:
        """Return a guard by whose proxy requests leave; it allows what `entries` do, or the internet."""
        policy = TargetPolicy.of(entries or ("public", "private"))
        return Guard(policy, OWN, proxy_of(self.url(credentials), no_proxy))

    def url(self, credentials: str = "", host: str = "127.0.0.1") -> str:
        return f"http://{credentials}{host}:{self.server.port}"


#: What no request may reach.
OWN = (OwnEndpoint("db.example", 5432),)


def proxy_of(url: str, no_proxy: str = "") -> HttpProxy | None:
    """Return the proxy that settings name."""
    given: Mapping[str, Any] = {"http_no_proxy": no_proxy}
    return HttpProxy.of(Settings(http_proxy=SecretStr(url), **given))


@contextmanager
def proxying() -> Iterator[Proxy]:
    refused: dict[str, bytes] = {}

    def answer(peer: Peer) -> None:
        while head := peer.request():
            method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
            url = urlsplit(f"//{target}" if method == "CONNECT" else target)
            refusal = refused.get(url.hostname or "")
            if refusal is not None:
                _refuse(peer, refusal)
            elif method == "CONNECT":
                _tunnel(peer, url.port or 0)
                return
            else:
                _pass_on(peer, head, target, url.port or 80)

    with serving(answer) as server:
        yield Proxy(server, refused)


def _refuse(peer: Peer, answer: bytes) -> None:
    if answer:
        peer.send(answer)
    else:
        peer.wait()


def _pass_on(peer: Peer, head: bytes, target: str, port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as there:
        path = target.split("/", 3)[3]
        there.sendall(head.replace(target.encode(), f"/{path}".encode(), 1))
        there.shutdown(socket.SHUT_WR)
        while data := there.recv(65_536):
            peer.send(data)


def _tunnel(peer: Peer, port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as there:
        peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        back = threading.Thread(target=_pipe, args=(there, peer.socket), daemon=True)
        back.start()
        _pipe(peer.socket, there)
        back.join()


def _pipe(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
