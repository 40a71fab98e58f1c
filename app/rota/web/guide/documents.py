"""Where the documents are, and what of them is shown: in the wheel, or in the repository that is installed from."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import Final

_INSTALLED: Final = Path(__file__).with_name("documents")
_REPOSITORY: Final = Path(__file__).parents[4]
#: The folder of the pages, below the one that has all that they link to.
FOLDER: Final = "docs"
#: The folders of which the wheel has copies; other files of the repository are for those who have it.
_SHIPPED: Final = (FOLDER, "deploy", "examples")
#: The page that lists all others.
INDEX: Final = "index"
_ITEM: Final = re.compile(r"( *)- (?:\[(?P<title>.+)\]\((?P<page>[\w/.-]+)\.md\)|(?P<group>.+))")
_LINK: Final = re.compile(r"\]\((?!\w+:|/|#)([^)#\s]+)")
#: Comments are for the tests of a page, and not for its readers.
_COMMENT: Final = re.compile(r"^<!--.*?-->\n", re.MULTILINE | re.DOTALL)
_FENCED: Final = re.compile(r"^( *```+).*?^\1 *$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Page:
    """One page: its path below `docs/` without `.md`, how the index calls it, and in which groups."""

    name: str
    title: str
    groups: tuple[str, ...]
    text: str

    @property
    def url(self) -> str:
        """Where the service shows it."""
        return url_of(self.name)

    @property
    def summary(self) -> str:
        """The first sentence of the page, without marks."""
        paragraphs = re.split(r"\n\s*\n", re.sub(r"^# .*\n", "", _FENCED.sub("", self.text)))
        first = next((each for each in paragraphs if re.match(r"\s*[\w`*\[]", each)), "")
        return plain(first).partition(". ")[0].rstrip(".:")


@dataclass(frozen=True, slots=True)
class Documents:
    """All pages in the order of the index, and the other files that they link to, by their path."""

    pages: Mapping[str, Page]
    files: Mapping[str, Path]

    def target(self, page: str, link: str) -> str | None:
        """Return the URL of what a relative link of a page leads to, None if it leads nowhere."""
        path = _path(page, link)
        name = path.removeprefix(f"{FOLDER}/").removesuffix(".md")
        if path == f"{FOLDER}/{name}.md" and name in self.pages:
            return url_of(name)
        return f"/guide/files/{path}" if path in self.files else None


@cache
def documents() -> Documents | None:
    """Return the documents of this installation, None if it has none."""
    root = next((each for each in (_INSTALLED, _REPOSITORY) if _has_index(each)), None)
    return None if root is None else read(root)


def read(root: Path) -> Documents:
    """Return the documents below a folder that has `docs/` and what its pages link to."""
    index = (root / FOLDER / f"{INDEX}.md").read_text()
    first = Page(INDEX, "Rota", (), _COMMENT.sub("", index))
    pages = {INDEX: first} | {page.name: page for page in _listed(root / FOLDER, index)}
    files = {
        path: root / path
        for page in pages.values()
        for link in _LINK.findall(_FENCED.sub("", page.text))
        if (path := _path(page.name, link)).startswith(_SHIPPED)
        and (root / path).is_file()
        and not _is_page(path, pages)
    }
    return Documents(pages, files)


def url_of(name: str) -> str:
    """Return where the service shows a page: the index of a folder has the URL of the folder."""
    return f"/guide/{name}".removesuffix(f"/{INDEX}")


def plain(text: str) -> str:
    """Return Markdown without its marks, on one line."""
    linked = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return " ".join(re.sub(r"[*`]|^[>#|]+", "", linked, flags=re.MULTILINE).split())


def _listed(folder: Path, index: str) -> Iterator[Page]:
    """Yield the pages that an index lists; an item without a link is the group of those below it."""
    groups: list[str] = []
    for line in index.splitlines():
        if not (item := _ITEM.fullmatch(line)):
            continue
        depth = len(item[1]) // 4
        if item["page"] is None:
            groups = [*groups[:depth], item["group"]]
        else:
            text = _COMMENT.sub("", (folder / f"{item['page']}.md").read_text())
            yield Page(item["page"], item["title"], tuple(groups[:depth]), text)


def _path(page: str, link: str) -> str:
    return normpath(PurePosixPath(FOLDER, page).parent / link)


def _is_page(path: str, pages: Mapping[str, Page]) -> bool:
    return path.removeprefix(f"{FOLDER}/").removesuffix(".md") in pages


def _has_index(root: Path) -> bool:
    return (root / FOLDER / f"{INDEX}.md").is_file()
