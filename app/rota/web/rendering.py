"""Templates: Jinja2 with everything escaped, and the filters of the pages."""

import os
import socket
from functools import cache
from importlib.metadata import version
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from rota.web import formats
from rota.web.charts.sparkline import sparkline
from rota.web.navigation import CHORDS, MORE, PAGES, current_page
from rota.web.sentences import sentence

_FILTERS: Final = {
    "instant": formats.instant,
    "ago": formats.ago,
    "duration": formats.duration,
    "json": formats.pretty_json,
    "short": formats.short,
    "tone": formats.tone,
    "mark": formats.mark,
    "plural": formats.plural,
    "prose": formats.prose,
    "sentence": sentence,
}


@cache
def environment() -> Environment:
    """Return the environment of all templates; a value that is missing is an error, and not an empty text."""
    made = Environment(
        loader=PackageLoader("rota.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(_FILTERS)
    made.globals.update(
        version=version("rota"),
        serving_replica=f"{socket.gethostname()}:{os.getpid()}",
        sparkline=sparkline,
        in_zone=formats.IN_ZONE,
        main_pages=PAGES,
        more_pages=MORE,
        page_chords=CHORDS,
        current_page=current_page,
    )
    return made


def render(template: str, **values: Any) -> str:
    """Return a page."""
    return environment().get_template(template).render(values)
