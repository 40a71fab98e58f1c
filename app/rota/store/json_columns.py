"""JSON documents in columns: errors, progress, lists."""

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rota.domain.primitives.json import json_text
from rota.domain.runs.errors import RunError
from rota.domain.runs.model import Progress
from rota.errors import Invalid

_LONGEST_TYPE = 128


def error_type(error: RunError | None) -> str | None:
    """Return the text of the column by which lists find runs with an error of this type."""
    return None if error is None else filed_type(error.type)


def filed_type(type: str) -> str:
    """Return what of the type of an error is in that column: its first characters."""
    return type[:_LONGEST_TYPE]


def dump_error(error: RunError | None) -> str | None:
    """Return the column's text for an error."""
    if error is None:
        return None
    # `asdict` would copy each field deeply, and most errors have no response.
    document: dict[str, Any] = {
        "type": error.type,
        "message": error.message,
        "traceback": error.traceback,
    }
    if error.response is not None:
        document["response"] = asdict(error.response)
    if error.phase is not None:
        document["phase"] = error.phase.value
    if error.timings is not None:
        document["timings"] = dict(error.timings)
    return json_text.dumps(document)


def load_error(text: str | None) -> RunError | None:
    """Return the error of a column; an `unreadable` error for one that was changed by hand and cannot be read."""
    if text is None:
        return None
    try:
        return RunError.of(json_text.loads(text))
    except (Invalid, TypeError, ValueError, KeyError, AttributeError):
        return RunError("unreadable", "what is stored of the error cannot be read")


def dump_progress(progress: Progress | None) -> str | None:
    """Return the column's text for progress."""
    if progress is None:
        return None
    return json_text.dumps({"fraction": progress.fraction, "message": progress.message})


def load_progress(text: str | None) -> Progress | None:
    """Return the progress of a column; none, if it cannot be read."""
    if text is None:
        return None
    try:
        return Progress(**json_text.loads(text))
    except (Invalid, TypeError):
        return None


def dump_timings(timings: Mapping[str, float] | None) -> str | None:
    """Return the column's text for the phases of a call."""
    return None if timings is None else json_text.dumps(dict(timings))


def load_timings(text: str | None) -> Mapping[str, float] | None:
    """Return the phases of a column; none, if they cannot be read."""
    if text is None:
        return None
    try:
        return {str(phase): float(each) for phase, each in json_text.loads(text).items()}
    except (Invalid, AttributeError, TypeError, ValueError):
        return None


def load_list(text: str | None) -> tuple[Any, ...]:
    """Return the list of a column; an empty column, and one that cannot be read, is an empty list."""
    if text is None:
        return ()
    try:
        return tuple(json_text.loads(text))
    except (Invalid, TypeError):
        return ()


# The text of an error begins so; the message may be cut off within an escape.
_MESSAGE = re.compile(
    r'\{"type":"(?:[^"\\]|\\.)*","message":"((?:[^"\\]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*)'
)


def load_message(head: str | None) -> str:
    """Return the message of an error whose text is cut off; nothing, if it cannot be read."""
    found = None if head is None else _MESSAGE.match(head)
    if found is None:
        return ""
    if "\\" not in found[1] and found[1].isprintable():
        return found[1]
    try:
        return str(json_text.loads(f'"{found[1]}"'))
    except Invalid:
        return ""


#: What makes the next character of a pattern one of the text.
ESCAPE = "/"
_SPECIAL = re.compile("[/%_]")


def in_message(text: str) -> str:
    """Return the pattern (of LIKE) for texts of errors whose message contains a text.

    The names of fields, and what else an error has, such as the phases of a call, are no part of the message.
    """
    escaped = _SPECIAL.sub(lambda found: ESCAPE + found[0], json_text.dumps(text)[1:-1])
    return f'%"message":"%{escaped}%","traceback":%'
