"""Sentences of the API on pages: their times, the runs that they name, and buttons in place of requests."""

import re
from typing import Final

from markupsafe import Markup, escape

from rota.web.formats import instant

_INSTANT: Final = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
_RUN: Final = r"\brun [0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"
_REQUEST: Final = (
    r"\b(?:POST|PUT) /v1/(?:tasks|runs|queues)/[A-Za-z0-9._~-]*[A-Za-z0-9_~-](?:/[a-z]+)?"
)
_PARTS: Final = re.compile(f"({_INSTANT}|{_RUN}|{_REQUEST})", re.ASCII)
#: What the button is called that sends a request, by the last word of its path.
_BUTTONS: Final = {"resume": "Resume", "run": "Run now", "rerun": "Run again"}


def sentence(text: str) -> Markup:
    """Return a sentence of the API: the script writes its times in the zone of the viewer, its runs are links."""
    parts = _PARTS.split(text)
    return Markup("").join(
        _element(each) if index % 2 else escape(each) for index, each in enumerate(parts)
    )


def _element(text: str) -> Markup:
    if text.startswith("run "):
        id = text.removeprefix("run ")
        return Markup('run <a href="/ui/runs/{}">{}</a>').format(id, id)
    if text.startswith(("POST ", "PUT ")):
        return _button(text)
    try:
        return instant(text)
    except ValueError:  # looks like a time, and is none
        return escape(text)


def _button(request: str) -> Markup:
    if request.startswith("PUT /v1/queues/"):
        return Markup('<a href="/ui/queues">Resume</a>')
    name = _BUTTONS.get(request.rpartition("/")[2])
    return escape(request) if name is None else Markup("<b>{}</b>").format(name)
