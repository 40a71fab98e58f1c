"""What a connection receives before it is its turn: it is held, and reading is paused."""

import asyncio

from uvicorn.protocols.http.flow_control import FlowControl


class Flow(FlowControl):
    """Reading stays paused while `holding`, even if the application asks for more."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__(transport)
        self.holding = False
        #: What is not parsed yet, and from where on.
        self.held: tuple[bytes, int] | None = None

    def resume_reading(self) -> None:
        if not self.holding:
            super().resume_reading()

    def hold(self, data: bytes, start: int) -> None:
        """Store what is not parsed yet, and pause reading."""
        if self.held is not None:
            kept, at = self.held
            data, start = kept[at:] + data[start:], 0
        self.held = data, start
        self.pause_reading()
        self.holding = True

    def release(self) -> tuple[bytes, int]:
        """Return what is held, and resume reading."""
        assert self.held is not None
        held = self.held
        self.discard()
        return held

    def discard(self) -> None:
        """Forget what is held, and resume reading."""
        self.held = None
        self.holding = False
        self.resume_reading()
