"""A small JSON client for servers on this machine."""

import json
import time
from collections.abc import Callable
from http.client import HTTPConnection
from typing import Any

_REQUEST_TIMEOUT = 120.0
_PAUSE = 0.05


class UnexpectedAnswerError(Exception):
    """A server answered otherwise than it should."""


def ask(port: int, method: str, path: str, body: Any = None, expect: int = 200) -> Any:
    """Send one request to 127.0.0.1 and return the JSON of its answer, None without one."""
    content = _sent(port, method, path, body, expect)
    return json.loads(content) if content else None


def fetch(port: int, path: str) -> bytes:
    """Return the body of a GET that is answered with 200, whatever it is."""
    return _sent(port, "GET", path, None, 200)


def _sent(port: int, method: str, path: str, body: Any, expect: int) -> bytes:
    connection = HTTPConnection("127.0.0.1", port, timeout=_REQUEST_TIMEOUT)
    try:
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    if answer.status != expect:
        raise UnexpectedAnswerError(f"{method} {path}: {answer.status} {content[:500]!r}")
    return content


def wait_until(
    condition: Callable[[], bool], what: str, timeout: float, pause: float = _PAUSE
) -> None:
    """Wait until `condition` holds; raise TimeoutError, saying `what` did not happen."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} within {timeout:g} s")
        time.sleep(pause)


def answers(port: int, path: str) -> bool:
    """Tell whether a server answers there with 200."""
    try:
        ask(port, "GET", path)
    except (OSError, UnexpectedAnswerError):
        return False
    return True
