"""Logs: one event per line with its fields, for terminals or as JSON."""

import contextlib
import json
import logging
import os
import sys
import threading
import unicodedata
from io import StringIO
from types import TracebackType
from typing import Any, TextIO, cast

import structlog
from structlog.typing import EventDict, ExcInfo

from rota.settings import Settings

# Control characters, and those that change the direction of text or end a line, by their escapes.
_SHOWN = {
    number: json.dumps(chr(number))[1:-1] if number < 0x7F else f"\\u{number:04x}"
    for number in range(0x3000)
    if unicodedata.category(chr(number)) in {"Cc", "Cf", "Zl", "Zp"}
}

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class _Unbreakable:
    """Standard error; its failure (a closed pipe, a full disk) must not end the thread that logs."""

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.__stderr__.write(text)  # type: ignore[union-attr]

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.__stderr__.flush()  # type: ignore[union-attr]


def configure(settings: Settings) -> None:
    """Set up structlog, and format records of the standard library (uvicorn, APScheduler) in the same way."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared[:2], shared[3], *_rendering(settings)],
        wrapper_class=structlog.make_filtering_bound_logger(_level(settings)),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _Unbreakable())),
        cache_logger_on_first_use=True,
    )
    # A stream of its own: structlog and `logging` use different locks, and two threads that write to one stream can
    # crash CPython before 3.12.4 (gh-119506).
    handler = logging.StreamHandler(os.fdopen(os.dup(2), "w", buffering=1, errors="replace"))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_rendering(settings),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=_level(settings), force=True)
    logging.captureWarnings(capture=True)
    if settings.log_format == "json":
        sys.excepthook = _log_crash
        threading.excepthook = _log_crash_of_thread
    # At INFO they log every request, and APScheduler every wake-up.
    for noisy in ("apscheduler", "alembic", "httpx", "httpcore", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def write_json(level: str, event: str, **fields: Any) -> None:
    """Write a line as with the format `json`; also before `configure`."""
    line = {"event": event, **fields, "level": level}
    stamped = structlog.processors.TimeStamper(fmt="iso", utc=True)(None, "", line)
    _Unbreakable().write(f"{json.dumps(stamped)}\n")


def _log_crash(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    log.error("crashed", exc_info=(kind, error, traceback))


def _log_crash_of_thread(crash: threading.ExceptHookArgs) -> None:
    name = None if crash.thread is None else crash.thread.name
    log.error("thread.crashed", thread=name, exc_info=crash.exc_value)


def _rendering(settings: Settings) -> list[Any]:
    if settings.log_format == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    return [
        _escape,
        structlog.dev.ConsoleRenderer(
            colors=sys.__stderr__ is not None and sys.__stderr__.isatty(),
            # Not rich's: it takes seconds, and shows local variables, including secrets.
            exception_formatter=_indented_traceback,
        ),
    ]


def _escape(_logger: object, _method: str, fields: EventDict) -> EventDict:
    """Escape control characters as in JSON: no text of a client can end a line or colour it."""
    return {
        name: value.translate(_SHOWN) if isinstance(value, str) else value
        for name, value in fields.items()
    }


def _indented_traceback(stream: TextIO, raised: ExcInfo) -> None:
    """Write a traceback with indented lines, so that no error message looks like a line of the log."""
    text = StringIO()
    structlog.dev.plain_traceback(text, raised)
    stream.writelines(f"\n    {line.translate(_SHOWN)}" for line in text.getvalue().splitlines())


def _level(settings: Settings) -> int:
    return logging.getLevelNamesMapping()[settings.log_level.upper()]
