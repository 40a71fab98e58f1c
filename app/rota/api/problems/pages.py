"""The documented pages behind the `type` of each problem."""

from html import escape

from fastapi import APIRouter
from starlette.responses import HTMLResponse, RedirectResponse

from rota.api.problems.types import PROBLEM_TYPES
from rota.errors import NotFound

routes = APIRouter(include_in_schema=False)

_ALL = "/guide/reference/service/problems"


@routes.get("/problems/")
async def index() -> RedirectResponse:
    """Redirect to the page with all types."""
    return RedirectResponse(_ALL)


@routes.get("/problems/{slug}")
async def page(slug: str) -> HTMLResponse:
    """Explain a type of problem."""
    if slug not in PROBLEM_TYPES:
        raise NotFound(f"No problem is called {slug!r}.")
    status, text = PROBLEM_TYPES[slug]
    return HTMLResponse(
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(slug)}</title>"
        f"<body style='font:16px/1.5 system-ui;max-width:40em;margin:3em auto;padding:0 1em'>"
        f"<h1>{escape(slug)}</h1><p>HTTP {status}</p><p>{text}</p>"
        f"<p><a href='{_ALL}'>All types of problems</a></p></body></html>"
    )
