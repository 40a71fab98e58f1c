"""Where the parts of requests end in what a connection brings."""

EMPTY_LINE = b"\r\n\r\n"


class Framing:
    """Cuts what comes into parts that belong to one request only, so that the next one can be left alone for a while.

    Heads, chunked bodies and their trailers end with an empty line, other bodies with their length. The parser cannot
    be stopped in the middle of what it was given; it can be given no more than is wanted.
    """

    __slots__ = ("_left", "_tail", "chunked", "has_body", "length")

    def __init__(self) -> None:
        self.length = 0
        self.chunked = False
        self.has_body = False
        self._left = 0
        self._tail = b""

    def expect_body(self, length: int, *, chunked: bool) -> None:
        """Tell what the head says of the body that follows."""
        self.length = self._left = length
        self.chunked = chunked
        self.has_body = chunked or length > 0

    def expect_head(self) -> None:
        """Tell that the request is complete."""
        self.length = self._left = 0
        self.chunked = self.has_body = False

    def end(self, data: bytes, start: int) -> int:
        """Return where the part that begins at `start` ends, or how far it goes."""
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
