"""`make docs`: a site of all pages, which works without the internet and has no broken link."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rota.web.guide.documents import read
from tests.docs.programs import ROOT
from tests.docs.site import build

pytest.importorskip("zensical", reason="not installed: it is in the dependency group `docs`")

# What a browser loads by itself: not the links that a reader follows.
LOADED = re.compile(
    r"<(?:script|img|iframe|source|embed|object|video|audio)\b[^>]*?(?:src|data)=\"?([^\"> ]+)"
)
LINKED = re.compile(r"<link\b[^>]*?href=\"?([^\"> ]+)")
IN_STYLES = re.compile(r"(?:url\(|@import )[\"']?((?:https?:)?//[^\"') ]+)")
#: What makes scripts of the theme load others, from another host.
TRIGGERS = re.compile(r"class=\"[^\"]*\b(?:mermaid|glightbox|pyodide)\b")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("site") / "guide")


def pages(site: Path) -> Iterator[tuple[str, str]]:
    for path in site.rglob("*.html"):
        yield str(path.relative_to(site)), path.read_text()


@pytest.mark.slow
def test_the_site_has_every_page_in_the_order_of_the_index(site: Path) -> None:
    named = [f"{name}.html" for name in read(ROOT).pages]
    start = (site / "index.html").read_text().split("md-content")[0]

    order = list(dict.fromkeys(re.findall(r'href="(?:\./)?([\w/.-]+\.html)"', start)))

    assert set(named) <= {name for name, _ in pages(site)}
    assert [each for each in order if each in named[1:]] == named[1:]


@pytest.mark.slow
def test_a_browser_loads_nothing_from_another_host(site: Path) -> None:
    for name, html in pages(site):
        loaded = LOADED.findall(html) + LINKED.findall(html)
        assert [each for each in loaded if re.match(r"(?:https?:)?//", each)] == [], name
        assert IN_STYLES.findall(html) == [], name
        assert not TRIGGERS.search(html), name
        assert "content=\"default-src 'self' file: data: blob: 'unsafe-inline'\"" in html, name
    styles = list(site.rglob("*.css"))
    assert styles
    assert [IN_STYLES.findall(path.read_text()) for path in styles] == [[]] * len(styles)


@pytest.mark.slow
def test_the_search_has_its_index_beside_it(site: Path) -> None:
    index = json.loads((site / "search.json").read_text())

    found = {each["location"].partition("#")[0] for each in index["items"]}
    assert "reference/tasks/schedules.html" in found


@pytest.mark.slow
def test_programs_find_the_markdown_of_every_page(site: Path) -> None:
    listed = re.findall(r"^- \[.+\]\(([^)]+)\)", (site / "llms.txt").read_text(), re.MULTILINE)

    assert len(listed) > 50
    assert [each for each in listed if not (site / each).is_file()] == []


def test_a_broken_link_fails_the_build(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "index.md").write_text("- Group\n    - [One](one.md)\n")
    (docs / "one.md").write_text("# One\n\n[nowhere](#nothing-of-this-name)\n")

    with pytest.raises(subprocess.CalledProcessError):
        build(tmp_path / "guide", tmp_path)
