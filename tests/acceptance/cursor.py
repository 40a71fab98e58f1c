"""What examples/cursor.mjs does, in Python, for machines without Node.js: its place is kept only in Rota."""

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FEED = [f"item {index}" for index in range(int(os.environ["ITEMS"]))]
_WORK = threading.Event()


def handle(item: str) -> None:
    _WORK.wait(0.003)
    sys.stdout.write(f"{item}\n")
    sys.stdout.flush()


def work(request: dict[str, Any]) -> dict[str, Any]:
    cursor = request["kv"]["cursor"]
    items = FEED[cursor : cursor + 10]
    for item in items:
        handle(item)
    return {
        "result": {"handled": len(items)},
        "kv": [
            {"op": "set", "key": "cursor", "value": cursor + len(items)},
            {"op": "increment", "key": "handled", "by": len(items)},
        ],
    }


class Exchange(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        outcome = json.dumps(work(request)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.rota.outcome+json")
        self.send_header("Content-Length", str(len(outcome)))
        self.end_headers()
        self.wfile.write(outcome)

    def log_message(self, *_: Any) -> None:
        """Say nothing: what is handled is written to the output."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Exchange).serve_forever()
