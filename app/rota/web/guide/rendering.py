"""A page of Markdown as HTML, with its table of contents. The pages are ours: no other's text is in them."""

import re
from dataclasses import dataclass
from functools import cache
from html import escape, unescape
from typing import Any, Final

from markdown import Markdown

from rota.web.guide.documents import Documents, Page, documents

_LINK: Final = re.compile(r'<a href="(?!\w+:|/|#)([^"#]*)(#[^"]*)?">(.*?)</a>', re.DOTALL)
_PICTURE: Final = re.compile(r'(<img [^>]*?src=)"(?!\w+:|/)([^"]*)')
_EXTENSIONS: Final = ["fenced_code", "codehilite", "tables", "toc", "sane_lists"]


@dataclass(frozen=True, slots=True)
class Heading:
    """An entry of a table of contents."""

    level: int
    anchor: str
    title: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """The HTML of a page, and its headings of the levels 2 and 3."""

    html: str
    headings: tuple[Heading, ...]


@cache
def rendered(name: str) -> Rendered:
    """Return a page of this installation, made once; raises KeyError if there is none of this name."""
    there = documents()
    if there is None:
        raise KeyError(name)
    return render(there.pages[name], there)


def render(page: Page, there: Documents) -> Rendered:
    """Return the HTML of a page, with links to where the service shows what they lead to.

    A link to what only the repository has is its text.
    """
    converter = _converter()
    html = converter.convert(page.text)
    found = (each for top in converter.toc_tokens for each in _flat(top))
    headings = tuple(each for each in found if each.level in {2, 3})

    def linked(match: re.Match[str]) -> str:
        target = there.target(page.name, unescape(match[1]))
        if target is None:
            return match[3]
        return f'<a href="{escape(target)}{match[2] or ""}">{match[3]}</a>'

    def shown(match: re.Match[str]) -> str:
        return f'{match[1]}"{escape(there.target(page.name, unescape(match[2])) or "")}'

    return Rendered(_PICTURE.sub(shown, _LINK.sub(linked, html)), headings)


def anchor_of(heading: str, separator: str = "-") -> str:
    """Return the anchor of a heading, as GitHub makes it: links work in both places."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", separator)


def _converter() -> Any:
    return Markdown(
        extensions=_EXTENSIONS,
        extension_configs={
            "codehilite": {"guess_lang": False, "css_class": "code"},
            "toc": {"slugify": anchor_of, "toc_depth": "2-3"},
        },
        output_format="html",
        tab_length=4,
    )


def _flat(token: Any) -> list[Heading]:
    own = Heading(token["level"], token["id"], unescape(token["name"]))
    return [own, *(each for child in token["children"] for each in _flat(child))]
