"""The whole service behind real sockets, served as `rota serve` does it, but in this process."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn

from rota.cli.local.serving.service import server_config
from tests.api.edge.service import Client
from tests.api.service import Api
from tests.support.factories import eventually


@dataclass(frozen=True)
class Listening:
    """A service that listens."""

    api: Api
    port: int

    def connect(self) -> Client:
        """Open a connection; the caller closes it."""
        return Client(self.port)


@contextmanager
def listening(api: Api, port: int = 0) -> Iterator[Listening]:
    """Serve a running service on a port; on one of its own, if none is given."""
    services = api.app.state.services
    server = uvicorn.Server(server_config(api.app, services.settings))
    with socket.create_server(("127.0.0.1", port), backlog=256) as listener:
        served = api.portal.start_task_soon(server.serve, [listener])
        eventually(lambda: server.started or served.done(), "the server does not start")
        try:
            yield Listening(api, listener.getsockname()[1])
        finally:
            server.should_exit = True
            served.result()


def request(method: str, path: str, body: Any = None, **headers: str) -> bytes:
    """Return a request, with a JSON body if there is one; `_` in the names of headers represents `-`."""
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode() + content
