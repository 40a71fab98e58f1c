"""The guide: every page of `docs/` is shown, every link in it leads somewhere, and nothing comes from elsewhere."""

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import urljoin

import pytest
from anyio.from_thread import start_blocking_portal
from fastapi import FastAPI

from rota.api.problems import problem
from rota.web.guide import routes
from rota.web.guide.documents import Documents, documents, read
from rota.web.guide.rendering import render, rendered
from tests.api.service import Api
from tests.web.browser import Browser

ROOT = Path(__file__).parents[3]
HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(1)>{{ 7 * 7 }} (a+)+$ [\\"""


@pytest.fixture(scope="module")
def there() -> Documents:
    found = documents()
    assert found is not None
    return found


@pytest.fixture(scope="module")
def client() -> Iterator[Api]:
    """The guide alone: it needs no database."""
    app = FastAPI()
    problem.install(app)
    app.include_router(routes.routes)
    app.state.routes = []  # no path of the API is suggested
    with start_blocking_portal() as portal:
        yield Api(portal, app)


@pytest.fixture(scope="module")
def shown(client: Api, there: Documents) -> dict[str, str]:
    """The HTML of every page, by its URL."""
    return {page.url: client.get(page.url).raise_for_status().text for page in there.pages.values()}


def links(html: str) -> list[str]:
    return [
        unescape(each) for each in re.findall(r'<(?:a|link|img)[^>]* (?:href|src)="([^"]*)"', html)
    ]


def test_every_page_of_the_documents_is_listed_once_in_their_index(there: Documents) -> None:
    listed = re.findall(r"\]\(([^)]+)\.md\)", (ROOT / "docs" / "index.md").read_text())
    pages = {str(path.relative_to(ROOT / "docs"))[:-3] for path in (ROOT / "docs").rglob("*.md")}

    assert len(listed) == len(set(listed))
    assert {*listed, "index"} == pages == there.pages.keys()


def test_every_group_of_the_index_has_pages(there: Documents) -> None:
    index = there.pages["index"].text
    groups = {each.strip() for each in re.findall(r"^ *- ([^\[\n]+)$", index, re.MULTILINE)}

    assert groups == {name for page in there.pages.values() for name in page.groups}


def test_every_page_is_shown_with_its_title_and_its_text(
    shown: dict[str, str], there: Documents
) -> None:
    for page in there.pages.values():
        html = shown[page.url]
        [title] = re.findall(r"^# (.+)$", page.text, re.MULTILINE)[:1]
        assert re.search(r"<h1[^>]*>(.*?)</h1>", html), page.name
        assert re.sub(r"[`\W]", "", title) in re.sub(r"<[^>]*>|\W", "", unescape(html)), page.name


def test_no_mark_of_markdown_is_left_as_text(there: Documents) -> None:
    for name in there.pages:
        text = re.sub(r"<(pre|code)>.*?</\1>", "", rendered(name).html, flags=re.DOTALL)
        left = re.findall(r"(?m)^\s*(?:[-*] |\||```|#{1,4} ).*", re.sub(r"<[^>]*>", "", text))
        assert left == [], name


def test_every_link_of_every_page_leads_to_something(client: Api, shown: dict[str, str]) -> None:
    answers: dict[str, str] = dict(shown)
    outside = ("/docs", "/ui", "/openapi.json")  # other tests read these

    for url, html in shown.items():
        for link in links(html):
            path, _, anchor = urljoin(url, link).partition("#")
            if re.match(r"\w+:", path) or path.split("?")[0].startswith(outside):
                continue
            if path not in answers:
                answers[path] = client.get(path).raise_for_status().text
            is_file = path.startswith("/guide/files/")
            assert not anchor or is_file or f'id="{anchor}"' in answers[path], (url, link)


def test_a_page_loads_nothing_from_elsewhere_and_has_no_script(shown: dict[str, str]) -> None:
    for url, html in shown.items():
        assert "<script" not in html, url
        assert not re.search(r"<(?:link|img)[^>]* (?:href|src)=\"(?:\w+:)?//", html), url
        assert not re.search(
            r"<[^>]* (?:style|on\w+)=", re.sub(r"<pre.*?</pre>", "", html, flags=re.DOTALL)
        ), url


def test_the_pages_are_in_a_row(shown: dict[str, str], there: Documents) -> None:
    url, seen = "/guide", ["/guide"]
    while found := re.search(r'rel="next" href="([^"]+)"', shown[url]):
        url = found[1]
        seen.append(url)

    assert seen == [page.url for page in there.pages.values()]


def test_a_page_is_given_as_markdown_too(client: Api, there: Documents) -> None:
    answer = client.get("/guide/reference/tasks/schedules.md")

    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    assert answer.text == there.pages["reference/tasks/schedules"].text


def test_programs_find_every_page_with_a_line_about_it(client: Api, there: Documents) -> None:
    text = client.get("/llms.txt").raise_for_status().text

    listed = re.findall(r"^- \[.+\]\(([^)]+)\): (.{10,})$", text, re.MULTILINE)
    assert [url for url, _ in listed] == [f"/guide/{name}.md" for name in there.pages][1:]
    assert text.startswith("# Rota\n\n> ")


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("concurrency key", "/guide/reference/runs/queues#concurrency-keys"),
        ("MISFIRE policy", "/guide/reference/tasks/policies#misfire-the-service-was-down"),
        ("rota_lease_ttl", None),
    ],
)
def test_a_search_finds_sections_that_have_all_words(
    client: Api, query: str, first: str | None
) -> None:
    html = client.get("/guide", params={"q": query}).raise_for_status().text

    found = re.findall(r'<li>\s*<a href="(/guide/[^"]+)"', html.split("<main")[1])
    assert found
    assert first is None or found[0] == first
    assert "<mark>" in html


@pytest.mark.parametrize("query", [HOSTILE, "x" * 5000, "a " * 5000, "\0\ud7ff\u2028", "(((((((("])
def test_a_search_for_anything_is_text_and_nothing_else(client: Api, query: str) -> None:
    html = client.get("/guide", params={"q": query}).raise_for_status().text

    assert "<script" not in html
    assert "<img" not in html
    assert "49" not in html.split("<main")[1].split("</main>")[0]
    assert len(html) < 60_000


def test_a_search_for_nothing_shows_the_first_page(client: Api, shown: dict[str, str]) -> None:
    assert client.get("/guide", params={"q": "  "}).text == shown["/guide"]


@pytest.mark.parametrize(
    "path",
    [
        "/guide/no/such/page",
        "/guide/nothing.md",
        "/guide/../pyproject",
        "/guide/%2e%2e/README.md",
        "/guide/files/app/rota/main.py",
        "/guide/files/..%2f..%2fetc%2fpasswd",
        "/guide/files//etc/passwd",
        "/guide/files/docs/../pyproject.toml",
    ],
)
def test_nothing_else_is_served(client: Api, path: str) -> None:
    answer = client.get(path)

    assert answer.status_code == 404
    assert "[project]" not in answer.text
    assert "root:" not in answer.text


def test_a_reader_is_shown_what_there_is_instead_of_a_page_that_is_not(client: Api) -> None:
    browser = Browser(client)

    answer = browser.open("/guide/guides/maintenance-window-", accept="text/html,*/*")
    hostile = browser.open("/guide/%3Cscript%3E", accept="text/html,*/*")

    assert (answer.status_code, hostile.status_code) == (404, 404)
    assert "The guide has no page <code>guides/maintenance-window-</code>" in answer.text
    assert "/guide/guides/maintenance-window" in answer.text.partition("<main")[2]
    assert "<script>" not in hostile.text
    assert client.get("/guide/guides/maintenance-window-").headers["content-type"] == (
        "application/problem+json"
    )


def test_files_that_pages_link_to_are_served_as_text(client: Api) -> None:
    answer = client.get("/guide/files/deploy/alerts.yml")

    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text == (ROOT / "deploy" / "alerts.yml").read_text()


def test_links_to_pages_files_and_nowhere_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "docs" / "a").mkdir(parents=True)
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples/x.txt").touch()
    (tmp_path / "docs/index.md").write_text("- Group\n    - [One](a/one.md)\n")
    (tmp_path / "docs/a/one.md").write_text(
        "<!-- a mark -->\n# One\n[x](../../examples/x.txt) [y](../../y)\n"
    )

    found = read(tmp_path)

    assert found.pages["a/one"].text.startswith("# One")
    assert found.pages["a/one"].groups == ("Group",)
    assert found.target("a/one", "../index.md") == "/guide"
    assert found.target("a/one", "../../examples/x.txt") == "/guide/files/examples/x.txt"
    assert found.target("a/one", "../../y") is None
    assert (
        '<p><a href="/guide/files/examples/x.txt">x</a> y</p>'
        in render(found.pages["a/one"], found).html
    )
