"""`llms.txt`: what the pages are about, and where their Markdown is."""

from itertools import groupby
from typing import Final

from rota.web.guide.documents import INDEX, Documents

_HEAD: Final = """# Rota

> A REST service that schedules jobs, runs them on time and keeps what happened.

Each page is Markdown. The API is described by [openapi.json](/openapi.json).
"""


def overview(there: Documents, base: str = "/guide/") -> str:
    """Return the titles of all pages with a line about each, and links to their Markdown below `base`."""
    parts = [_HEAD]
    pages = [page for page in there.pages.values() if page.name != INDEX]
    for groups, found in groupby(pages, lambda page: page.groups):
        parts.append(f"\n## {': '.join(groups)}\n\n")
        parts += [f"- [{each.title}]({base}{each.name}.md): {each.summary}\n" for each in found]
    return "".join(parts)
