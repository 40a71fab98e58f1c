"""`llms.txt`: what the pages are about, and where their Markdown is."""

from itertools import groupby
from typing import Final

from rota.web.guide.documents import INDEX, Documents

HEAD: Final = """# Rota

> A REST service that schedules jobs, runs them on time and keeps what happened.

Each page is Markdown.
"""
_API: Final = "The API is described by [openapi.json](/openapi.json).\n"


def overview(there: Documents) -> str:
    """Return the titles of all pages of a service with a line about each, and links to their Markdown."""
    return f"{HEAD}{_API}{listed(there, '/guide/')}"


def listed(there: Documents, base: str) -> str:
    """Return the titles of all pages with a line about each, and links to their Markdown below `base`."""
    parts = []
    pages = [page for page in there.pages.values() if page.name != INDEX]
    for groups, found in groupby(pages, lambda page: page.groups):
        parts.append(f"\n## {': '.join(groups)}\n\n")
        parts += [f"- [{each.title}]({base}{each.name}.md): {each.summary}\n" for each in found]
    return "".join(parts)
