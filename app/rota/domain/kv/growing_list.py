"""A list as JSON text that grows at its end and is cut at its beginning, without being read or written each time."""

from collections.abc import Sequence
from dataclasses import dataclass
from json import JSONDecoder
from typing import Any

from rota.domain.primitives.json import json_text

_DECODER = JSONDecoder()


@dataclass(frozen=True, slots=True)
class GrowingList:
    """One state of a list; those that came before it, or continue from it in another way, stay as they are.

    States share their parts: the text of the items (without the brackets) that were there at first, and that of each
    one that was added. Only what the last state comes to is ever put together.
    """

    parts: list[str]
    #: Those of this state, and where in the first of them it begins.
    begin: int
    end: int
    offset: int
    #: How many items and bytes it has.
    count: int
    size: int

    @classmethod
    def of(cls, items: Sequence[Any]) -> "GrowingList":
        """Return a list; raises NotJson."""
        text = json_text.dumps(items)
        parts = [text[1:-1]] if items else []
        return cls(parts, 0, len(parts), 0, len(items), len(text.encode()))

    def appended(self, item: Any, most: int | None) -> "GrowingList":
        """Return the list with another item, and only the last `most` of all; raises NotJson."""
        part = json_text.dumps([item])[1:-1]
        # Where another state continues from here already, it has these to itself.
        parts = self.parts if self.end == len(self.parts) else self.parts[: self.end]
        parts.append(part)
        count = self.count + 1
        size = self.size + len(part.encode()) + bool(self.count)
        dropped = 0 if most is None else max(0, count - most)
        begin, offset, gone = self._after_first(dropped)
        return GrowingList(parts, begin, self.end + 1, offset, count - dropped, size - gone)

    def encode(self) -> bytes:
        """Return the text."""
        parts = self.parts[self.begin : self.end]
        if parts:
            parts[0] = parts[0][self.offset :]
        return f"[{','.join(parts)}]".encode()

    def _after_first(self, number: int) -> tuple[int, int, int]:
        """Return where the item after so many begins, and how many bytes these take with what parts them from it."""
        begin, offset, size = self.begin, self.offset, 0
        for _ in range(number):
            part = self.parts[begin]
            _, end = _DECODER.raw_decode(part, offset)
            size += len(part[offset:end].encode()) + 1
            begin, offset = (begin + 1, 0) if end == len(part) else (begin, end + 1)
        return begin, offset, size
