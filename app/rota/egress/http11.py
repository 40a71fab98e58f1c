"""HTTP/1.1 on one connection: one exchange after the other (RFC 9112), as h11 reads and writes it."""

from collections.abc import AsyncGenerator
from typing import Any

import h11

from rota.egress.stream import Stream, WriteError

Header = tuple[bytes, bytes]

# How much is read at once, and how much of a head may be incomplete; more is not HTTP.
_READ = 65_536
_MOST_INCOMPLETE = 102_400
_SWITCHING_PROTOCOLS = 101
_IDLE = {h11.CLIENT: h11.IDLE, h11.SERVER: h11.IDLE}
_DONE = {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}


class Http11:
    """The state of HTTP on a stream.

    An exchange is `send`, `head`, `body`, and `end`. All but `end` raise LostError if the connection is lost, and
    h11.RemoteProtocolError if what the server sends is not HTTP.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._state = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MOST_INCOMPLETE)

    @property
    def is_idle(self) -> bool:
        """Whether it is between two exchanges, with nothing that came unasked: it would be taken for the next reply."""
        unread, _ = self._state.trailing_data
        return self._state.states == _IDLE and not unread

    async def send(
        self, method: bytes, target: bytes, headers: list[Header], body: bytes | None
    ) -> None:
        """Send a request; raises h11.LocalProtocolError if it is not HTTP."""
        state = self._state
        data = state.send(h11.Request(method=method, target=target, headers=headers))
        assert data is not None
        if body is not None:
            data += state.send(h11.Data(data=body)) or b""
        data += state.send(h11.EndOfMessage()) or b""
        try:
            await self._stream.write(data)
        except WriteError:
            # A server may have answered and closed before it has read everything: its answer counts.
            return

    async def head(self) -> tuple[int, list[Header]]:
        """Return the status and the headers of the response; interim responses are passed over."""
        while True:
            event = await self._next()
            is_final = isinstance(event, h11.Response)
            if is_final or event.status_code == _SWITCHING_PROTOCOLS:
                return event.status_code, event.headers.raw_items()

    async def body(self) -> AsyncGenerator[bytes, None]:
        """Yield the body of the response as it comes."""
        while True:
            event = await self._next()
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage) or event is h11.PAUSED:
                return

    def end(self) -> None:
        """End the exchange: another one can follow if both sides have ended theirs."""
        if self._state.states == _DONE:
            self._state.start_next_cycle()

    async def _next(self) -> Any:
        """Return the next event; reads as much as it needs."""
        state = self._state
        while (event := state.next_event()) is h11.NEED_DATA:
            data = await self._stream.read(_READ)
            if not data and state.their_state is h11.SEND_RESPONSE:
                raise h11.RemoteProtocolError("Server disconnected without sending a response.")
            state.receive_data(data)
        return event
