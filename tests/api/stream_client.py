"""A client of server-sent events: opens a stream of the service in this process, and disconnects."""

import asyncio
import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from tests.api.service import Api
from tests.support.factories import DEADLINE, eventually


@dataclass(frozen=True)
class Event:
    """An event as a client receives it: type, data, and the id to resume after."""

    type: str
    data: dict[str, Any]
    id: str | None
    timestamp: str


class Stream:
    """One request for a stream. `events` are those received so far; `last_id` is what a browser sends to resume."""

    def __init__(
        self,
        api: Api,
        path: str,
        last_id: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.text = ""
        self.status = 0
        self.headers: dict[str, str] = {}
        self._api = api
        self._path = path
        self._given = last_id
        self._with = headers or {}
        self._sent = False
        self._ended: Future[None] = api.portal.start_task_soon(self._run)
        eventually(lambda: self.status, "the stream does not begin")

    @property
    def events(self) -> list[Event]:
        """The events that have been received, in order."""
        return read_events(self.text)

    @property
    def last_id(self) -> str | None:
        """The id of the last block that has one."""
        ids = [block["id"] for block in _blocks(self.text) if "id" in block]
        return ids[-1] if ids else self._given

    def until(self, condition: Callable[[list[Event]], Any]) -> list[Event]:
        """Wait until the received events fulfil a condition; return them."""
        eventually(lambda: condition(self.events), f"not received: {self.text[-2_000:]}")
        return self.events

    def until_received(self, number: int) -> list[Event]:
        """Wait for so many events; return all that have been received."""
        return self.until(lambda events: len(events) >= number)

    def stop(self) -> None:
        """Disconnect."""
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
        given = {**(self._api.headers or {}), **self._with}
        headers = [(b"host", b"localhost")]
        headers += [(name.lower().encode(), value.encode()) for name, value in given.items()]
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


class Stuck(Stream):
    """A client that receives the first block of a stream, and no more."""

    async def _send(self, message: Any) -> None:
        await super()._send(message)
        if message["type"] == "http.response.body":
            await self._gone.wait()


class Slow(Stream):
    """A client that receives the first blocks of a stream up to one with a text, and no more until `resume`."""

    def __init__(self, api: Api, path: str, up_to: str = "") -> None:
        self._up_to = up_to
        super().__init__(api, path)

    def resume(self) -> None:
        """Receive everything from now on."""
        self._api.portal.call(self._resumed.set)

    async def _run(self) -> None:
        self._resumed = asyncio.Event()
        await super()._run()

    async def _send(self, message: Any) -> None:
        await super()._send(message)
        if message["type"] == "http.response.body" and self._up_to in self.text:
            await self._resumed.wait()


def read_events(text: str) -> list[Event]:
    """Return the events in what a stream has sent so far."""
    return [_event(block) for block in _blocks(text) if "data" in block]


def _blocks(text: str) -> list[dict[str, str]]:
    whole, _, _ = text.rpartition("\n\n")
    return [
        dict(line.split(": ", 1) for line in block.split("\n") if line[0] != ":")
        for block in whole.split("\n\n")
        if block
    ]


def _event(block: dict[str, str]) -> Event:
    envelope = json.loads(block["data"])
    assert envelope.keys() == {"type", "timestamp", "data"}
    assert envelope["type"] == block["event"]
    return Event(envelope["type"], envelope["data"], block.get("id"), envelope["timestamp"])
