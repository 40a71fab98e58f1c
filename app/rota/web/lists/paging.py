"""Pages of a list, forwards and backwards: the API has a cursor for the next page, the URL keeps those before it."""

from dataclasses import dataclass
from typing import Final

from rota.web.page import Page

#: What stands for the first page, which has no cursor.
_FIRST: Final = "-"
#: How many pages one can go back; further back one begins anew.
_MOST_KEPT: Final = 12


@dataclass(frozen=True, slots=True)
class Paging:
    """The URLs of the pages around one; None: there is none."""

    older: str | None
    newer: str | None
    newest: str | None


def paging(page: Page, following: str | None) -> Paging:
    """Return the URLs around a page of a list, given the cursor that follows."""
    cursor = page.parameters.get("cursor")
    past = [each for each in page.parameters.get("past", "").split(",") if each]
    kept = [*past, cursor or _FIRST][-_MOST_KEPT:]
    older = page.url_with(cursor=following, past=",".join(kept)) if following else None
    newest = page.url_with(cursor=None, past=None) if cursor else None
    return Paging(older, _newer(page, past) or newest, newest)


def _newer(page: Page, past: list[str]) -> str | None:
    if not past:
        return None
    *earlier, last = past
    return page.url_with(cursor=None if last == _FIRST else last, past=",".join(earlier) or None)
