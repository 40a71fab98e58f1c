"""What a handler says of its attempt: lines and progress."""

from typing import Protocol


class Journal(Protocol):
    """Where the lines and the progress of an attempt go; safe to call from any thread, never waits."""

    def line(self, level: str, message: str) -> None: ...

    def progress(self, fraction: float | None, message: str | None) -> None: ...


class Log:
    """What a handler says; kept with the run, as what it prints is."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def debug(self, message: str) -> None:
        self._journal.line("debug", str(message))

    def info(self, message: str) -> None:
        self._journal.line("info", str(message))

    def warning(self, message: str) -> None:
        self._journal.line("warning", str(message))

    def error(self, message: str) -> None:
        self._journal.line("error", str(message))
