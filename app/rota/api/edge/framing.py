"""Where the parts of requests end in the bytes of a connection."""

EMPTY_LINE = b"\r\n\r\n"


class Framing:
    """Splits received bytes into parts of one request each, so that the next request can wait.

    Heads, chunked bodies and their trailers end with an empty line, other bodies with their length. The parser cannot
    be stopped in the middle of its input, so it receives one part at a time.
    """

    __slots__ = ("_left", "_tail", "chunked", "has_body", "length")

    def __init__(self) -> None:
        self.length = 0
        self.chunked = False
        self.has_body = False
        self._left = 0
        self._tail = b""

    def expect_body(self, length: int, *, chunked: bool) -> None:
        """Set the framing of the body that follows, from its head."""
        self.length = self._left = length
        self.chunked = chunked
        self.has_body = chunked or length > 0

    def expect_head(self) -> None:
        """Expect a new request."""
        self.length = self._left = 0
        self.chunked = self.has_body = False

    def end(self, data: bytes, start: int) -> int:
        """Return where the part that begins at `start` ends; the length of `data` if it does not end there."""
        if not self._left:
            return self._end_of_lines(data, start)
        end = min(len(data), start + self._left)
        self._left -= end - start
        return end

    def _end_of_lines(self, data: bytes, start: int) -> int:
        if self._tail:
            seam = (self._tail + data[start : start + 3]).find(EMPTY_LINE)
            if seam >= 0:
                end = start + seam + len(EMPTY_LINE) - len(self._tail)
                self._tail = b""
                return end
        found = data.find(EMPTY_LINE, start)
        if found >= 0:
            self._tail = b""
            return found + len(EMPTY_LINE)
        # The empty line may come in two pieces.
        self._tail = (self._tail + data[max(start, len(data) - 3) :])[-3:]
        return len(data)
