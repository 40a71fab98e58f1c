"""A target that echoes all that it was sent, in every way that such a target may."""

import gzip
import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import quote

OUTCOME = "application/vnd.rota.outcome+json"


def ways(text: str) -> list[str]:
    """Return a text as it is, as JSON, as base64 and percent-encoded."""
    return [text, json.dumps(text), b64encode(text.encode()).decode(), quote(text, safe="")]


class _Echo(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"] or 0))
        got = dict(self.headers)
        getattr(self, f"_{self.path.strip('/')}")(
            got, [each for text in got.values() for each in ways(text)]
        )

    def _json(self, got: dict[str, str], said: list[str]) -> None:
        self._reply(200, "application/json", json.dumps({"got": got, "said": said}).encode(), got)

    def _text(self, got: dict[str, str], said: list[str]) -> None:
        self._reply(200, "text/plain", "\n".join([*got.values(), *said]).encode(), got)

    def _zipped(self, got: dict[str, str], said: list[str]) -> None:
        body = gzip.compress("\n".join(said).encode())
        self._reply(200, "text/plain", body, got | {"Content-Encoding": "gzip"})

    def _outcome(self, got: dict[str, str], said: list[str]) -> None:
        operations = [{"op": "set", "key": "echo", "value": {"got": got, "said": said}}]
        self._reply(200, OUTCOME, json.dumps({"result": got, "kv": operations}).encode(), got)

    def _retry(self, got: dict[str, str], said: list[str]) -> None:
        document = {"retry": {"after": 3_600, "reason": " ".join(said)}}
        self._reply(200, OUTCOME, json.dumps(document).encode(), got)

    def _fail(self, got: dict[str, str], said: list[str]) -> None:
        document = {"fail": {"reason": " ".join([*got.values(), *said])}}
        self._reply(200, OUTCOME, json.dumps(document).encode(), got)

    def _wrong(self, got: dict[str, str], said: list[str]) -> None:
        document = {"kv": [{"op": text, "key": text} for text in said]}
        self._reply(200, OUTCOME, json.dumps(document).encode(), got)

    def _refused(self, got: dict[str, str], said: list[str]) -> None:
        self._reply(401, "text/html", " ".join([*got.values(), *said]).encode(), got)

    def _cut(self, got: dict[str, str], said: list[str]) -> None:
        text = got["X-Api-Key"]
        self._reply(500, "text/plain", b"." * (4_096 - len(text) // 2) + text.encode(), got)

    def _broken(self, got: dict[str, str], said: list[str]) -> None:
        self.wfile.write(f"HTTP/1.1 200 OK\r\n{got['X-Api-Key']}\r\n\r\n".encode())
        self.close_connection = True

    def _reply(self, status: int, content_type: str, body: bytes, got: dict[str, str]) -> None:
        self.send_response_only(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Location", f"/?key={quote(got['X-Api-Key'], safe='')}")
        self.send_header("ETag", b64encode(got["X-Api-Key"].encode()).decode())
        self.send_header("X-Request-Id", got["X-Api-Key"])
        if "Content-Encoding" in got:
            self.send_header("Content-Encoding", got["Content-Encoding"])
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


PATHS = [
    name.removeprefix("_")
    for name in vars(_Echo)
    if name.startswith("_") and name[1] != "_" and name != "_reply"
]


@contextmanager
def echoing() -> Iterator[str]:
    """Serve on a port of its own; yields the origin."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
