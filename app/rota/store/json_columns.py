"""JSON documents in columns: errors, progress, lists."""

from dataclasses import asdict
from typing import Any

from rota.domain.primitives import json_text
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
    # `asdict` would copy each member deeply, and most errors have no response.
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


def load_list(text: str | None) -> tuple[Any, ...]:
    """Return the list of a column; an empty column, and one that cannot be read, is an empty list."""
    if text is None:
        return ()
    try:
        return tuple(json_text.loads(text))
    except (Invalid, TypeError):
        return ()
