"""uvicorn's protocol with limits: on sizes, on time, and on requests that are sent before it is their turn."""

import asyncio
import socket
import struct
from contextlib import suppress
from functools import partial
from math import inf
from typing import Any, cast

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from rota.api.edge.connections import Connections
from rota.api.edge.flow import Flow
from rota.api.edge.framing import Framing
from rota.api.edge.heads import body_parser, check, check_trailers, too_large_headers, too_long_url
from rota.api.edge.limits import Limits
from rota.api.edge.pace import Pace
from rota.api.edge.phase import Phase
from rota.api.edge.refusals import Refusal, refusal_of
from rota.api.edge.security_headers import other_at, with_other

_AT_ONCE = struct.pack("ii", 1, 0)
_SLOW_HEAD = "The request line and the headers have not come within {:g} s."
_SLOW_BODY = (
    "The body comes too slowly: send at least {:g} bytes/s, and do not fall behind by {:g} s."
)
_TOO_MANY = "{} connections are open, as many as there can be (ROTA_MAX_CONNECTIONS, ulimit -n)."

# Looking a phase up costs a call before Python 3.12.
_IDLE, _HEAD, _BODY, _ANSWERING, _UNREAD, _REFUSED = Phase


class EdgeProtocol(HttpToolsProtocol):
    """One connection."""

    flow: Flow

    def __init__(
        self,
        connections: Connections,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        limits = connections.limits
        self._all = connections
        self._limits = limits
        self._phase = _IDLE
        # How long the phase may last, and since when it does: since the first check, so that requests do not read the
        # time.
        self._timeout = limits.first_byte
        self._since: float | None = None
        self._framing = Framing()
        # Of a head, or of a chunked body since its last piece of data.
        self._framing_bytes = 0
        self._moved = False
        self._body_bytes = 0
        self._body_pace = Pace(limits.body_rate, limits.body_grace)
        self._answer_pace = Pace(limits.answer_rate, limits.answer_grace)
        self._unsent = 0
        # The parser of the connection, while another one reads a body.
        self._outer: Any = None

    # ---------------------------------------------------------------------------------------------- the transport's

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        if not self._all.admit(self, self.loop):
            self.transport = transport
            self._turn_away()
            return
        super().connection_made(transport)
        self.flow = Flow(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.leave(self)
        super().connection_lost(exc)
        self._outer = None
        if self.flow is not None:  # the connection was admitted
            self.flow.held = None

    def data_received(self, data: bytes) -> None:
        if self._phase is _REFUSED:
            return
        self._take(data, 0)

    def resume_writing(self) -> None:
        self._answer_pace.begin(self.loop.time())
        super().resume_writing()

    # ------------------------------------------------------------------------------------------------- the parser's

    def on_headers_complete(self) -> None:
        length, chunked = check(
            self.url, self.headers, self.parser.get_http_version(), self._limits
        )
        self._framing.expect_body(length, chunked=chunked)
        self._phase, self._since = _BODY, None
        self._moved = True
        super().on_headers_complete()
        # The application reads the headers from then on: what comes as trailers does not belong to them.
        self.headers = []
        other = other_at(self.url)
        if other is not None:
            self.cycle.default_headers = with_other(self.cycle.default_headers, other)

    def on_body(self, body: bytes) -> None:
        self._moved = True
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._framing.has_body and self.parser.should_upgrade():
            return  # the parser believes that what follows is of another protocol: `_read_on`
        if self._outer is not None:
            self.parser, self._outer = self._outer, None
        if self.headers:
            check_trailers(self.headers, self._limits)
        super().on_message_complete()
        self._framing.expect_head()
        if self._phase is _UNREAD:
            self._wait_for_next()
        else:
            self._phase, self._timeout, self._since = _ANSWERING, inf, None

    # -------------------------------------------------------------------------------------------------- the answer's

    def on_response_complete(self) -> None:
        # Without uvicorn's, which starts a timer for each answer.
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self.flow.held = None
        elif self._phase is _BODY:
            self._phase, self._timeout, self._since = _UNREAD, self._limits.unread_body, None
            self.flow.resume_reading()
        else:
            self._wait_for_next()
            self.flow.resume_reading()
            if self.flow.held is not None:
                self._take(*self.flow.release())

    def _should_upgrade(self) -> bool:
        return False

    # ------------------------------------------------------------------------------------------------- what comes in

    def _take(self, data: bytes, start: int) -> None:
        """Feed the parser one part of a request after the other, until one has to wait."""
        while start < len(data):
            if self._phase is _ANSWERING:
                self.flow.hold(data, start)
                return
            if self._phase is _IDLE:
                self._begin_head()
            end = self._framing.end(data, start)
            if self._phase is _HEAD:
                end = min(end, start + self._limits.head_bytes - self._framing_bytes)
            whole = start == 0 and end == len(data)
            if not self._feed(data if whole else memoryview(data)[start:end]):
                return
            start = end

    def _begin_head(self) -> None:
        self._phase, self._timeout, self._since = _HEAD, self._limits.head, None
        self._framing_bytes = 0
        self.url, self.headers = b"", []

    def _feed(self, part: bytes | memoryview) -> bool:
        """Parse a part; return whether the connection continues."""
        try:
            try:
                self.parser.feed_data(part)
            except httptools.HttpParserUpgrade:
                self._read_on()
        except httptools.HttpParserError as error:
            self._refuse(refusal_of(error))
            return False
        self._framing_bytes = 0 if self._moved else self._framing_bytes + len(part)
        self._moved = False
        if (self._phase is _HEAD or self._framing.chunked) and (too_much := self._too_much()):
            self._refuse(too_much)
            return False
        return True

    def _too_much(self) -> Refusal | None:
        limits = self._limits
        if self._phase is _HEAD and len(self.url) > limits.url_bytes:
            return too_long_url(limits)
        if len(self.headers) > limits.headers or self._framing_bytes >= limits.head_bytes:
            return too_large_headers(limits)
        return None

    def _read_on(self) -> None:
        """Ignore a requested upgrade: read the body, although the parser has stopped before it."""
        if self._framing.has_body:
            self._outer = self.parser
            self.parser = body_parser(self._framing, self.on_body, self.on_message_complete)

    def _wait_for_next(self) -> None:
        self._phase, self._timeout, self._since = _IDLE, self.timeout_keep_alive, None

    # ------------------------------------------------------------------------------------------------ what takes long

    def look(self, now: float) -> None:
        """End the connection, or its request, if a deadline has passed."""
        if self._is_stuck(now):
            self._all.log.note("answer not taken", now)
            self._cut()
        elif self._since is None:
            self._since = now
            self._body_pace.begin(now)
        elif self._phase is _BODY:
            self._look_at_body(now)
        elif now >= self._since + self._timeout:
            self._end_wait()

    def _end_wait(self) -> None:
        self._timeout = inf
        if self._phase is _HEAD and self.url:
            self._refuse(Refusal("request-timeout", _SLOW_HEAD.format(self._limits.head)))
        elif self._phase is _REFUSED:
            self._cut()
        else:
            self.transport.close()

    def _is_stuck(self, now: float) -> bool:
        """Return whether the client does not receive what it is sent."""
        unsent = self.transport.get_write_buffer_size()
        if not unsent:
            self._answer_pace.begin(now)
        elif unsent < self._unsent:
            self._answer_pace.moved(now, self._unsent - unsent)
        self._unsent = unsent
        return unsent > 0 and self._answer_pace.is_too_slow(now)

    def _look_at_body(self, now: float) -> None:
        self._body_pace.moved(now, self._body_bytes)
        self._body_bytes = 0
        # The client is not slow if the application does not read, or `100 Continue` has not been sent.
        if self.flow.read_paused or self.cycle.waiting_for_100_continue:
            self._body_pace.begin(now)
        elif self._body_pace.is_too_slow(now):
            limits = self._limits
            self._refuse(
                Refusal("request-timeout", _SLOW_BODY.format(limits.body_rate, limits.body_grace))
            )

    # ------------------------------------------------------------------------------------------------------- refusals

    def _turn_away(self) -> None:
        """Refuse a connection over the limit."""
        self._phase = _REFUSED
        reason = f"more than {self._limits.connections} connections"
        self._all.log.note(reason, self.loop.time())
        refusal = Refusal("unavailable", _TOO_MANY.format(self._limits.connections))
        self.transport.write(refusal.as_bytes(self.server_state.default_headers, has_body=True))
        self.transport.close()

    def _refuse(self, refusal: Refusal) -> None:
        """Send a problem and close the connection, after some time for the client to read it."""
        now = self.loop.time()
        self._all.log.note(refusal.slug, now)
        self._phase, self._timeout, self._since = _REFUSED, self._limits.farewell, now
        has_body = self.parser.get_method() != b"HEAD"
        self.flow.discard()
        if self._abandon():
            self._cut()
            return
        self.transport.write(refusal.as_bytes(self.server_state.default_headers, has_body=has_body))
        self.transport.write_eof()

    def _cut(self) -> None:
        """Close at once, and discard what is unsent in the system, too."""
        made: socket.socket = self.transport.get_extra_info("socket")
        with suppress(OSError):  # it has been reset meanwhile
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self.transport.abort()

    def _abandon(self) -> bool:
        """Disconnect the application; return whether it had started a response."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete:
            return False
        cycle.disconnected = True
        cycle.waiting_for_100_continue = False  # nothing is written after the refusal
        cycle.message_event.set()
        self.flow.resume_writing()
        return cycle.response_started


def http_protocol(limits: Limits) -> type[asyncio.Protocol]:
    """Return the protocol factory for one server (`http` in uvicorn's configuration)."""
    return cast("type[asyncio.Protocol]", partial(EdgeProtocol, Connections(limits)))
