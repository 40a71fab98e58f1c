"""Search in the pages: every word must be in a section; what has it in a heading comes first."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from rota.web.guide.documents import Documents, Page, documents, plain
from rota.web.guide.rendering import anchor_of

#: Of a query: characters, and words.
LONGEST: Final = 200
MOST_WORDS: Final = 8
MOST_FOUND: Final = 30
_AROUND: Final = 90
_HEADING: Final = re.compile(r"^#{1,4} (.+)$", re.MULTILINE)
#: Of code and tables: what is no text.
_FRAMES: Final = re.compile(r"^ *```\w*$|^\|[ :|-]+\|$|(?:^|(?<= ))\|(?= |$)", re.MULTILINE)
_FENCED: Final = re.compile(r"^( *```+).*?^\1 *$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Section:
    """A heading of a page with the text below it."""

    page: Page
    heading: str
    anchor: str
    text: str
    #: Both in small letters.
    small_heading: str
    small_text: str

    @property
    def url(self) -> str:
        """Where it is shown."""
        return f"{self.page.url}#{self.anchor}"


@dataclass(frozen=True, slots=True)
class Found:
    """A section that has all words, with a piece of its text in parts: every second part is a word of the query."""

    section: Section
    parts: tuple[str, ...]


def words_of(query: str) -> list[str]:
    """Return the words to search for, in small letters."""
    return list(dict.fromkeys(query[:LONGEST].lower().split()))[:MOST_WORDS]


def search(query: str) -> list[Found]:
    """Return the best sections of this installation's pages for a query."""
    there = documents()
    return [] if there is None else best(_sections_of(there), words_of(query))


def best(sections: Sequence[Section], words: Sequence[str]) -> list[Found]:
    """Return the sections that have all words, the best first."""
    if not words:
        return []
    scored = [(_score(each, words), -place, each) for place, each in enumerate(sections)]
    ordered = sorted((each for each in scored if each[0]), key=lambda each: each[:2], reverse=True)
    return [Found(each, _parts(each, words)) for _, _, each in ordered[:MOST_FOUND]]


def sections_of(page: Page) -> Iterator[Section]:
    """Yield the sections of a page."""
    bare = _FENCED.sub(lambda found: found[0].replace("\n#", "\n "), page.text)
    parts = _HEADING.split(bare)[1:]
    for heading, text in zip(parts[::2], parts[1::2], strict=True):
        shown, content = plain(heading), plain(_FRAMES.sub(" ", text))
        yield Section(page, shown, anchor_of(shown), content, shown.lower(), content.lower())


@cache
def _every_section() -> tuple[Section, ...]:
    there = documents()
    pages = () if there is None else there.pages.values()
    return tuple(section for page in pages for section in sections_of(page))


def _sections_of(_: Documents) -> Sequence[Section]:
    return _every_section()


def _score(section: Section, words: Sequence[str]) -> int:
    """Return how well a section fits; 0 if a word is missing."""
    total = 0
    for word in words:
        in_title = word in section.page.title.lower()
        in_heading = word in section.small_heading
        times = min(section.small_text.count(word), 5)
        if not (in_heading or times):
            return 0
        total += 20 * in_heading + 10 * in_title + times
    return total


def _parts(section: Section, words: Sequence[str]) -> tuple[str, ...]:
    """Return the text around the first word, split at the words."""
    first = min((at for word in words if (at := section.small_text.find(word)) >= 0), default=0)
    start = max(first - _AROUND, 0)
    piece = section.text[start : first + 2 * _AROUND]
    shown = (
        ("… " if start else "") + piece + (" …" if first + 2 * _AROUND < len(section.text) else "")
    )
    return tuple(re.split(f"({'|'.join(map(re.escape, words))})", shown, flags=re.IGNORECASE))
