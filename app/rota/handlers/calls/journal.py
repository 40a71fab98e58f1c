"""The journal of an attempt: its log lines and progress, as they arrive, with a limit."""

from math import isnan
from threading import RLock

from rota.clock import Clock
from rota.domain.primitives.json.json_text import printable
from rota.domain.runs.model import LogLine, Progress

# Bytes that a line costs besides its text: a million empty lines must not be free.
_LINE_COST = 16
_MOST_PROGRESS_TEXT = 1_000


class AttemptJournal:
    """Takes lines and progress from any thread, without waiting; keeps `limit_bytes` of lines."""

    def __init__(self, limit_bytes: int, clock: Clock) -> None:
        self._limit = limit_bytes
        self._left = limit_bytes
        self._full = limit_bytes <= 0
        self._clock = clock
        self._count = 0
        self._lines: list[LogLine] = []
        self._progress: Progress | None = None
        self._unfinished: dict[str, _Unfinished] = {}
        #: The number of characters that were dropped after the limit was reached.
        self.dropped = 0
        # Reentrant: a finaliser that prints may run in the thread that holds it.
        self._lock = RLock()

    def line(self, level: str, message: str) -> None:
        """Keep a line; text over the limit is dropped, and the last line reports that."""
        with self._lock:
            if self._full:
                self.dropped += len(message)
            else:
                self._keep(level, message)

    def write(self, level: str, text: str) -> None:
        """Keep printed text as whole lines; the unfinished last one waits for its end."""
        with self._lock:
            if self._full:
                self.dropped += len(text)
                return
            unfinished = self._unfinished.setdefault(level, _Unfinished())
            *lines, rest = text.split("\n")
            for line in lines:
                self.line(level, unfinished.end() + line)
            unfinished.add(rest)
            # Text over the limit is never kept, so an unfinished line need not grow beyond it.
            if unfinished.size > self._left:
                self.line(level, unfinished.end())

    def flush(self) -> None:
        """Keep printed text that has no end of line."""
        if not self._unfinished:
            return
        with self._lock:
            unfinished, self._unfinished = self._unfinished, {}
            for level, text in unfinished.items():
                if text.size:
                    self.line(level, text.end())

    def progress(self, fraction: float | None, message: str | None) -> None:
        """Keep the progress; a fraction outside 0 to 1 is set to the nearer end."""
        if fraction is not None:
            fraction = None if isnan(fraction) else min(max(float(fraction), 0.0), 1.0)
        if message is not None:
            message = printable(str(message), _MOST_PROGRESS_TEXT)
        with self._lock:
            self._progress = Progress(fraction, message)

    def take(self) -> tuple[list[LogLine], Progress | None]:
        """Return the lines since the last call, and the latest progress since then."""
        if not self._lines and self._progress is None:
            return [], None
        with self._lock:
            lines, self._lines = self._lines, []
            progress, self._progress = self._progress, None
            return lines, progress

    def _keep(self, level: str, message: str) -> None:
        # Cut first: escaping a gigabyte to keep 64 KiB of it would stall other attempts.
        text = printable(message[: self._left], self._left)
        cost = len(text.encode()) + _LINE_COST
        if len(message) <= self._left and cost <= self._left:
            self._append(level, text)
            self._left -= cost
            return
        kept = text.encode()[: max(self._left - _LINE_COST, 0)].decode(errors="ignore")
        if kept:
            self._append(level, kept)
        self._append(level, f"… the rest was cut at {self._limit} bytes")
        self.dropped += len(message) - len(kept)
        self._full = True

    def _append(self, level: str, message: str) -> None:
        self._count += 1
        self._lines.append(LogLine(self._count, self._clock.now(), level, message))


class _Unfinished:
    """The parts of a line that has not ended; they are joined once, however many there are."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self.size = 0

    def add(self, text: str) -> None:
        if text:
            self._parts.append(text)
            self.size += len(text)

    def end(self) -> str:
        text = "".join(self._parts)
        self._parts.clear()
        self.size = 0
        return text
