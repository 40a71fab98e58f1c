"""Logs: one event per line with its fields, for people or as JSON."""

import contextlib
import json
import logging
import os
import sys
import threading
from types import TracebackType
from typing import Any, TextIO, cast

import structlog

from app.settings import Settings

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class _Unbreakable:
    """Standard error, whose failure (a closed pipe, a full disk) must not end whoever has something to say."""

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.__stderr__.write(text)  # type: ignore[union-attr]

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.__stderr__.flush()  # type: ignore[union-attr]


def configure(settings: Settings) -> None:
    """Set up structlog, and let the standard library's records (uvicorn, APScheduler) come out the same way."""
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
    # A stream of its own: structlog's lock and that of `logging` do not keep each other out, and two threads that
    # write to one stream can crash CPython before 3.12.4 (gh-119506).
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
    # Each job's every run is told at INFO, which for a clock that only rings says nothing.
    for noisy in ("apscheduler", "alembic", "httpx", "httpcore", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def write_json(level: str, event: str, **fields: Any) -> None:
    """Write a line as they are with `json`, also before anything is configured."""
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
        structlog.dev.ConsoleRenderer(
            colors=sys.__stderr__ is not None and sys.__stderr__.isatty(),
            # Not rich's: it takes seconds, and shows local variables, secrets among them.
            exception_formatter=structlog.dev.plain_traceback,
        )
    ]


def _level(settings: Settings) -> int:
    return logging.getLevelNamesMapping()[settings.log_level.upper()]
