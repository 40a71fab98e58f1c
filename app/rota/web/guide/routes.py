"""`/guide`: the documents as pages, as Markdown and as files; `/llms.txt`: what there is, for programs that read."""

import re
from itertools import groupby
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from rota.errors import NotFound
from rota.web.guide.documents import INDEX, Documents, Page, documents
from rota.web.guide.llms import overview
from rota.web.guide.rendering import rendered
from rota.web.guide.search import LONGEST, search
from rota.web.rendering import render

routes = APIRouter(include_in_schema=False)

_CACHED: Final = {"cache-control": "max-age=300"}
_PICTURES: Final = {".png": "image/png", ".svg": "image/svg+xml"}


# None of these is `async`: a page takes up to a tenth of a second the first time, in a thread.
@routes.get("/guide")
def index(q: str = "") -> Response:
    """Show the first page, or what a search has found."""
    if q.strip():
        return _shown("guide/search.html", None, query=q[:LONGEST], found=search(q))
    return _page(INDEX)


@routes.get("/guide/files/{path:path}")
def file(path: str) -> Response:
    """Serve a file that a page links to."""
    found = _documents().files.get(path)
    if found is None:
        raise NotFound(f"No page of the guide links to a file {path!r}.")
    kind = _PICTURES.get(found.suffix, "text/plain; charset=utf-8")
    return Response(found.read_bytes(), media_type=kind, headers=_CACHED)


@routes.get("/guide/{name:path}")
def page(name: str, request: Request) -> Response:
    """Show a page, or give its Markdown if the name ends with `.md`."""
    if name.endswith(".md"):
        text = _found(name.removesuffix(".md")).text
        return Response(text, media_type="text/markdown; charset=utf-8", headers=_CACHED)
    try:
        return _page(name)
    except NotFound:
        if "text/html" not in request.headers.get("accept", ""):
            raise
        return _instead_of(name)


@routes.get("/llms.txt")
def llms() -> Response:
    """List the pages, with a line about each."""
    text = overview(_documents())
    return Response(text, media_type="text/plain; charset=utf-8", headers=_CACHED)


def _page(name: str) -> Response:
    found = _found(name)
    pages = list(_documents().pages.values())
    place = pages.index(found)
    return _shown(
        "guide/page.html",
        found,
        content=rendered(found.name),
        earlier=pages[place - 1] if place else None,
        later=pages[place + 1] if place + 1 < len(pages) else None,
    )


def _instead_of(name: str) -> Response:
    """Show a reader that there is no page of a name, and the sections that have the words of it."""
    words = " ".join(re.split(r"[^A-Za-z0-9]+", name.rpartition("/")[2])).strip()[:LONGEST]
    found = search(words)
    return _shown("guide/search.html", None, 404, query=words, found=found, missing=name)


def _shown(template: str, page: Page | None, status: int = 200, **values: object) -> Response:
    pages = list(_documents().pages.values())[1:]
    groups = [(each, list(found)) for each, found in groupby(pages, lambda page: page.groups)]
    defaults = {"query": "", "missing": None}
    content = render(template, page=page, groups=groups, **{**defaults, **values})
    return HTMLResponse(content, status, headers=_CACHED if status == 200 else None)


def _found(name: str) -> Page:
    """Return a page by its name, or the index of a folder by the name of the folder; raises NotFound."""
    pages = _documents().pages
    found = pages.get(name) or pages.get(f"{name.rstrip('/')}/{INDEX}".lstrip("/"))
    if found is None:
        raise NotFound(f"The guide has no page {name!r}. GET /guide lists them.")
    return found


def _documents() -> Documents:
    there = documents()
    if there is None:
        raise NotFound(
            "This installation of Rota has no documents: they are in its wheel and in its repository."
        )
    return there
