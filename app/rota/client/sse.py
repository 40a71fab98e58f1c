"""Server-sent events, as the HTML standard defines their format."""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass

# Not `str.splitlines`, which also ends a line at U+2028 and its like, that JSON may hold.
_LINE_END = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event; one without data only tells the `id` by which the stream can be continued."""

    type: str
    data: str
    id: str | None


class SseDecoder:
    """Makes events of the bytes of one stream."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._rest = ""
        self._type = ""
        self._data: list[str] = []
        self._id: str | None = None
        #: The seconds after which the server wants a client to come back.
        self.retry: float | None = None

    def feed(self, content: bytes) -> Iterator[ServerSentEvent]:
        """Yield the events that are complete by now."""
        *lines, self._rest = self._split(self._rest + self._decoder.decode(content))
        for line in lines:
            if line:
                self._read(*line.partition(":")[::2])
            elif self._type or self._data or self._id is not None:
                yield self._taken()

    @staticmethod
    def _split(text: str) -> list[str]:
        # The LF of a CR LF may be in the next bytes.
        held = "\r" if text.endswith("\r") else ""
        lines = _LINE_END.split(text.removesuffix("\r"))
        return [*lines[:-1], lines[-1] + held]

    def _read(self, field: str, value: str) -> None:
        value = value.removeprefix(" ")
        match field:
            case "event":
                self._type = value
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isdecimal():
                self.retry = int(value) / 1_000
            case _:
                pass  # a comment, or a field that is not known

    def _taken(self) -> ServerSentEvent:
        event = ServerSentEvent(self._type or "message", "\n".join(self._data), self._id)
        self._type, self._data, self._id = "", [], None
        return event
