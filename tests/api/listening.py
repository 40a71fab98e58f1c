"""A client of server-sent events: opens a stream of the service in this process, and breaks it."""

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from tests.api.service import Api
from tests.support.factories import DEADLINE, eventually


@dataclass(frozen=True)
class Event:
    """An event as its client has it: its type, what it says, and the id to resume by."""

    type: str
    data: dict[str, Any]
    id: str | None
    timestamp: str


class Stream:
    """One request for a stream. `told` is what has come so far; `last_id` what a browser would send to resume."""

    def __init__(self, api: Api, path: str, last_id: str | None = None) -> None:
        self.text = ""
        self.status = 0
        self.headers: dict[str, str] = {}
        self._api = api
        self._path = path
        self._given = last_id
        self._sent = False
        self._ended: Future[None] = api.portal.start_task_soon(self._run)
        eventually(lambda: self.status, "the stream does not begin")

    @property
    def told(self) -> list[Event]:
        """The events, in order."""
        return [event for block in self._blocks() if (event := _event(block)) is not None]

    @property
    def last_id(self) -> str | None:
        """The id of the last event, or what stands for one."""
        ids = [block["id"] for block in self._blocks() if "id" in block]
        return ids[-1] if ids else self._given

    @property
    def is_over(self) -> bool:
        return self._ended.done()

    def until(self, condition: Callable[[list[Event]], Any]) -> list[Event]:
        """Wait until what was told fulfils a condition; return it."""
        eventually(lambda: condition(self.told), f"it was not told: {self.text[-2_000:]}")
        return self.told

    def until_told(self, number: int) -> list[Event]:
        """Wait for so many events."""
        return self.until(lambda told: len(told) >= number)

    def stop(self) -> None:
        """Break the connection."""
        self._api.portal.call(self._gone.set)
        self.join()

    def join(self) -> None:
        """Wait for the end of the stream."""
        self._ended.result(DEADLINE)

    async def _run(self) -> None:
        self._gone = asyncio.Event()
        await self._api.app(self._scope(), self._receive, self._send)

    def _scope(self) -> dict[str, Any]:
        path, _, query = self._path.partition("?")
        headers = [(b"host", b"localhost")]
        if self._given is not None:
            headers.append((b"last-event-id", self._given.encode()))
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("localhost", 80),
        }

    async def _receive(self) -> dict[str, Any]:
        if not self._sent:
            self._sent = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            self.status = message["status"]
        else:
            self.text += message.get("body", b"").decode()

    def _blocks(self) -> list[dict[str, str]]:
        whole, _, _ = self.text.rpartition("\n\n")
        return [
            dict(line.split(": ", 1) for line in block.split("\n") if line[0] != ":")
            for block in whole.split("\n\n")
            if block
        ]


class Stuck(Stream):
    """A client that does not take what it is sent, its first words apart."""

    async def _send(self, message: Any) -> None:
        await super()._send(message)
        if message["type"] == "http.response.body":
            await self._gone.wait()


class Slow(Stream):
    """A client that takes no more than its first words until it is told to go on."""

    def go_on(self) -> None:
        """Take what there is from now on."""
        self._api.portal.call(self._goes_on.set)

    async def _run(self) -> None:
        self._goes_on = asyncio.Event()
        await super()._run()

    async def _send(self, message: Any) -> None:
        await super()._send(message)
        if message["type"] == "http.response.body":
            await self._goes_on.wait()


def _event(block: dict[str, str]) -> Event | None:
    if "data" not in block:
        return None
    said = json.loads(block["data"])
    assert said.keys() == {"type", "timestamp", "data"}
    assert said["type"] == block["event"]
    return Event(said["type"], said["data"], block.get("id"), said["timestamp"])
