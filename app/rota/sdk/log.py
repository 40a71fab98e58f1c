"""Log lines and progress of an attempt."""

import json
import re
import sys
import traceback
from typing import Any, Protocol

from pydantic_core import to_jsonable_python

# Text without quotes: one word that does not look like a field.
_WORD = re.compile(r'[^\s"=]+')
_MOST_FRAMES = 50


class Journal(Protocol):
    """Receives the log lines and the progress of an attempt; safe to call from any thread, never waits."""

    def line(self, level: str, message: str) -> None: ...

    def progress(self, fraction: float | None, message: str | None) -> None: ...


class Log:
    """The log of a handler; kept with the run, like its output.

        ctx.log.info("fetched", id=3, feed="World news")  # the line: fetched id=3 feed="World news"

    Fields may have any name. They follow the message as `name=value`, in the given order: a text that is one word
    without quotes, anything else as JSON (or its `repr`, if it is not JSON). `args` are merged into the message as in
    `logging`. Logging never raises: a value that cannot be shown is replaced by a note.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def debug(self, message: object, /, *args: object, **fields: object) -> None:
        self._write("debug", message, args, fields)

    def info(self, message: object, /, *args: object, **fields: object) -> None:
        self._write("info", message, args, fields)

    def warning(self, message: object, /, *args: object, **fields: object) -> None:
        self._write("warning", message, args, fields)

    def error(self, message: object, /, *args: object, **fields: object) -> None:
        self._write("error", message, args, fields)

    def exception(self, message: object, /, *args: object, **fields: object) -> None:
        """Log at `error`, with the traceback of the exception that is being handled."""
        self._write("error", message, args, fields, _traceback())

    def _write(
        self,
        level: str,
        message: object,
        args: tuple[object, ...],
        fields: dict[str, object],
        after: str = "",
    ) -> None:
        shown = [_field(name, value) for name, value in fields.items()]
        self._journal.line(level, " ".join([_text(message, args), *shown]) + after)


def _text(message: object, args: tuple[object, ...]) -> str:
    try:
        text = str(message)
    except Exception as error:  # noqa: BLE001  # __str__ is code of the handler
        return f"(a message that cannot be shown: {type(error).__name__})"
    try:
        return text % args if args else text
    except Exception:  # noqa: BLE001  # the arguments may be anything
        return f"{text} (its arguments do not fit)"


def _field(name: str, value: object) -> str:
    try:
        plain = to_jsonable_python(value, inf_nan_mode="constants", fallback=str)
        shown = _quoted(plain) if isinstance(plain, str) else _json(plain)
    except Exception:  # noqa: BLE001  # bytes that are not text, a list that contains itself, code of the handler
        shown = _repr(value)
    return f"{_quoted(name)}={shown}"


def _repr(value: object) -> str:
    try:
        return _quoted(repr(value))
    except Exception as error:  # noqa: BLE001  # __repr__ is code of the handler
        return f"(cannot be shown: {type(error).__name__})"


def _quoted(text: str) -> str:
    return text if _WORD.fullmatch(text) else _json(text)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _traceback() -> str:
    if sys.exception() is None:
        return ""
    try:
        return "\n" + traceback.format_exc(limit=-_MOST_FRAMES).rstrip()
    except Exception as error:  # noqa: BLE001  # formatting runs the exception's __str__
        return f"\n(a traceback that cannot be shown: {type(error).__name__})"
