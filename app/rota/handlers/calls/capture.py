"""Capture of the output and the log records of handlers, in the journals of their attempts.

A context variable identifies the attempt, so code that a handler calls, awaits, or passes to `asyncio.to_thread` is
covered; a bare `threading.Thread` that it starts is not, and prints to the real stream. Captured text is only in the
journal: the service's own log has neither the payloads of handlers nor lines forged by them. Set up logging before
`install()`: a stream handler made afterwards would also write into the journal.
"""

import logging
import sys
from contextvars import ContextVar
from typing import IO, Any, cast

from rota.handlers.calls.journal import AttemptJournal
from rota.sdk.log import Journal

#: The journal of the attempt to which the running code belongs.
CURRENT: ContextVar[AttemptJournal | None] = ContextVar("rota_journal", default=None)


class _Stream:
    """Replaces `sys.stdout` or `sys.stderr`; the real stream serves everything except writes."""

    def __init__(self, real: IO[str], level: str) -> None:
        self.real = real
        self._level = level

    def write(self, text: str) -> int:
        journal = CURRENT.get()
        if journal is None:
            return self.real.write(text)
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        journal.write(self._level, text)
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        if CURRENT.get() is None:
            self.real.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


class JournalHandler(logging.Handler):
    """Writes log records to a journal: the given one, or that of the attempt of the running code."""

    def __init__(self, journal: Journal | None = None) -> None:
        super().__init__()
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        journal = self._journal or CURRENT.get()
        if journal is None:
            return
        try:
            message = self.format(record)
        except Exception:  # noqa: BLE001  # the arguments of a record may be anything
            message = f"{record.msg!s:.1000} (its arguments do not fit)"
        journal.line(_level(record.levelno), message)


def _is_of_the_service(record: logging.LogRecord) -> bool:  # noqa: ARG001  # the signature of filters
    return CURRENT.get() is None


def install() -> None:
    """Start to capture; a second call changes nothing."""
    for name, level in (("stdout", "stdout"), ("stderr", "stderr")):
        stream = getattr(sys, name)
        if not isinstance(stream, _Stream):
            setattr(sys, name, cast("IO[str]", _Stream(stream, level)))
    root = logging.getLogger()
    if not any(isinstance(handler, JournalHandler) for handler in root.handlers):
        for handler in root.handlers:
            handler.addFilter(_is_of_the_service)
        root.addHandler(JournalHandler())


def uninstall() -> None:
    """Restore the real streams and the logging."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, _Stream):
            setattr(sys, name, stream.real)
    root = logging.getLogger()
    for handler in list(root.handlers):
        handler.removeFilter(_is_of_the_service)
        if isinstance(handler, JournalHandler):
            root.removeHandler(handler)


def _level(number: int) -> str:
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warning"
    return "info" if number >= logging.INFO else "debug"
