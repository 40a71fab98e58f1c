"""The stream of a connection: what HTTP reads and writes, with limits and with the phases that it is in."""

import asyncio
import contextlib
import socket
import ssl
from typing import NoReturn, cast

from rota.domain.http_target.phases import CallPhase
from rota.egress.phases import Phases

# More than this is not read before it was taken.
_HIGH = 131_072
# The most bytes of everything before the body: interim answers, the status line, headers.
MOST_HEAD_BYTES = 131_072
# How much of that is parsed at once; other tasks of the loop run in between.
_HEAD_SLICE = 16_384


class TooLargeError(Exception):
    """An answer has more than Rota reads of one; the text names the limit."""


class LostError(Exception):
    """The connection was lost."""


class WriteError(LostError):
    """The connection was lost before everything was sent."""


class _Incoming(asyncio.Protocol):
    """What has arrived and was not taken yet."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.ended = False
        self.error: Exception | None = None
        self._transport: asyncio.Transport | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._reading = True
        self._full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are of no such class

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if self._reading and len(self.buffer) > _HIGH and self._transport is not None:
            self._transport.pause_reading()
            self._reading = False
        _wake(self._reader)

    def eof_received(self) -> bool:
        self.ended = True
        _wake(self._reader)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended, self.error = True, exc
        self._full = False
        _wake(self._reader)
        _wake(self._writer)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        _wake(self._writer)

    async def take(self, most: int) -> bytes:
        """Return what has arrived, when there is something; nothing at the end. Raises the error of the connection."""
        while not self.buffer:
            if self.error is not None:
                raise self.error
            if self.ended:
                return b""
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        data = bytes(self.buffer[:most])
        del self.buffer[:most]
        if not self._reading and not self.ended and self._transport is not None:
            self._transport.resume_reading()
            self._reading = True
        return data

    async def drained(self) -> None:
        """Wait while more is waiting to be sent than the transport holds; raises the error of the connection."""
        while self._full:
            self._writer = asyncio.get_running_loop().create_future()
            await self._writer
        if self.error is not None:
            raise self.error


class Stream:
    """One connection, which has one exchange at a time."""

    def __init__(self, transport: asyncio.Transport, incoming: _Incoming) -> None:
        self._transport = transport
        self._incoming = incoming
        self._phases = Phases()
        self._most = MOST_HEAD_BYTES
        self._in_head = True
        self._unsent = bytearray()
        #: How many bytes of the answer of this exchange have been read.
        self.received = 0

    def begin(self, phases: Phases) -> None:
        """Begin an exchange, whose phases are measured."""
        self._phases = phases
        self._in_head, self._most, self.received = True, MOST_HEAD_BYTES, 0
        phases.enter(CallPhase.WRITE)

    def begin_body(self, most: int) -> None:
        """Note that the headers are there; of the body, at most so many bytes are read as they come."""
        self._in_head = False
        self._most = self.received + most

    @property
    def is_open(self) -> bool:
        """Whether another exchange can begin: the other side has neither closed it nor sent anything unrequested."""
        incoming = self._incoming
        return not (incoming.ended or incoming.buffer or self._transport.is_closing())

    async def read(self, max_bytes: int) -> bytes:
        """Send what is waiting, and return what has arrived, when there is something; nothing at the end."""
        if self._unsent:
            # A server may have answered and closed before it has read everything: its answer counts.
            with contextlib.suppress(WriteError):
                await self._send()
        if not self.received:
            self._phases.enter(CallPhase.WAIT)
        elif self.received >= self._most:
            self._too_large()
        elif self._in_head:
            await asyncio.sleep(0)
        most = min(max_bytes, _HEAD_SLICE) if self._in_head else max_bytes
        try:
            data = await self._incoming.take(most)
        except OSError as error:
            raise LostError(str(error)) from None
        self.received += len(data)
        self._phases.enter(CallPhase.READ)
        return data

    async def write(self, buffer: bytes) -> None:
        """Send with the next read, or at once if it is much."""
        # Headers and a small body are sent together, when the answer is waited for.
        self._unsent += buffer
        if len(self._unsent) > _HIGH:
            await self._send()

    async def _send(self) -> None:
        data, self._unsent = bytes(self._unsent), bytearray()
        if self._incoming.error is not None or self._transport.is_closing():
            raise WriteError("the connection was closed")
        self._transport.write(data)
        try:
            await self._incoming.drained()
        except OSError as error:
            raise WriteError(str(error)) from None

    def close(self) -> None:
        """Close at once, whether or not all was sent: of what is closed here, nothing is of use any more."""
        self._transport.abort()

    def _too_large(self) -> NoReturn:
        self._phases.enter(CallPhase.TOO_LARGE)
        what = "before the body of its answer" if self._in_head else "in the body of its answer"
        raise TooLargeError(f"it sent more than {self._most:,} bytes {what}")


async def open_stream(
    connected: socket.socket, tls: ssl.SSLContext | None, name: str, phases: Phases
) -> Stream:
    """Return the stream of a connected socket, with TLS for this server name if there is a context.

    Raises what the handshake raises; the socket is closed then.
    """
    loop = asyncio.get_running_loop()
    if tls is not None:
        phases.enter(CallPhase.TLS)
    # It closes the socket itself if it fails or is cancelled.
    transport, incoming = await loop.create_connection(
        _Incoming, sock=connected, ssl=tls, server_hostname=name if tls else None
    )
    return Stream(transport, incoming)


def _wake(waiter: "asyncio.Future[None] | None") -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
