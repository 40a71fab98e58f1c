"""A raw server on the loopback that answers as a test requests: sockets, not HTTP."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Answer = Callable[["Peer"], None]


@dataclass
class Peer:
    """One connection, as the server sees it; `number` counts them."""

    socket: socket.socket
    number: int
    over: threading.Event
    requests: list[bytes]

    def request(self) -> bytes:
        """Read one request without a body, or with a Content-Length; empty if the client has closed."""
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = self.socket.recv(65_536)
            if not chunk:
                return b""
            data += chunk
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            (
                int(line.split(b":")[1])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length:")
            ),
            0,
        )
        while len(body) < length:
            body += self.socket.recv(65_536)
        self.requests.append(head + b"\r\n\r\n" + body)
        return self.requests[-1]

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def repeat(self, data: bytes, pause: float = 0) -> None:
        """Send the same for ever: until the client closes, or the test has ended."""
        while not self.over.wait(pause):
            self.send(data)

    def wait(self) -> None:
        """Say nothing until the client closes."""
        while self.socket.recv(65_536):
            pass

    def reset(self) -> None:
        """Close with a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()


@dataclass
class Server:
    """The server, and what it saw."""

    port: int
    answer: Answer
    connections: int = 0
    closed: int = 0
    requests: list[bytes] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str = "/", scheme: str = "http", host: str = "127.0.0.1") -> str:
        return f"{scheme}://{host}:{self.port}{path}"


def always(*answers: bytes) -> Answer:
    """Return an answer that sends these, one to each request, and the last one to all others."""

    def answer(peer: Peer) -> None:
        index = 0
        while peer.request():
            peer.send(answers[min(index, len(answers) - 1)])
            index += 1

    return answer


@contextmanager
def serving(
    answer: Answer, tls: ssl.SSLContext | None = None, at: str = "127.0.0.1"
) -> Iterator[Server]:
    """Serve each connection in a thread of its own."""
    with socket.create_server((at, 0), backlog=64) as listener:
        server = Server(listener.getsockname()[1], answer)
        accepting = threading.Thread(target=_accept, args=(listener, server, tls), daemon=True)
        accepting.start()
        yield server
        server.over.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        accepting.join()


def _accept(listener: socket.socket, server: Server, tls: ssl.SSLContext | None) -> None:
    while True:
        try:
            accepted, _ = listener.accept()
        except OSError:
            return
        server.connections += 1
        peer = Peer(accepted, server.connections, server.over, server.requests)
        threading.Thread(target=_serve, args=(server, peer, tls), daemon=True).start()


def _serve(server: Server, peer: Peer, tls: ssl.SSLContext | None) -> None:
    with suppress(OSError):
        peer.socket.settimeout(20)
        if tls is not None:
            peer.socket = tls.wrap_socket(peer.socket, server_side=True)
        server.answer(peer)
    with suppress(OSError):
        peer.socket.close()
    server.closed += 1
