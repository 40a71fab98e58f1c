"""The OpenAPI document and its page, which works with no internet: its assets come from a Python package."""

import re
from base64 import b64encode
from hashlib import sha256
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from starlette.responses import HTMLResponse, RedirectResponse, Response

from rota.api.openapi.arrangement import arrange
from rota.api.openapi.document import complete
from rota.api.openapi.page_document import page_document
from rota.api.problems.problem import Problem, ProblemError
from rota.domain.primitives.json.json_text import dumps
from rota.errors import NotFound

routes = APIRouter(include_in_schema=False)

DESCRIPTION = """
Rota schedules jobs. POST a **task** (a handler to call, an input, a schedule); Rota runs it on time and keeps what
happened: every **run** with its result, and a **key-value table per task** that lasts from one run to the next.

Try it: open `POST /v1/tasks`, *Execute*; ten seconds later `GET /v1/runs`, *Execute*. What the page offers to send
works with the example handlers (`make run`) and the task `greet` of the README; requests that stop or remove many
things are offered as dry runs. Where an id is needed, take one from `GET /v1/runs`. There is a
[dashboard](/ui), and a [guide](/guide) with tutorial, how-to and reference.

Times are UTC (`2026-11-25T08:00:00.000Z`) and go in as RFC 3339 with an offset. Durations are seconds, or `15m`,
`1h30m`, `PT15M`. Errors are problem documents (RFC 9457) that point at the fault.
"""

_TAGS = [
    {"name": "tasks", "description": "Registrations: what to call, with what, when."},
    {"name": "runs", "description": "Executions of tasks, and how they ended."},
    {"name": "kv", "description": "The state of a task between its runs."},
    {
        "name": "bulk",
        "description": "One verb for many tasks or runs, and past fire times run again.",
    },
    {"name": "events", "description": "What happens, as it happens."},
    {
        "name": "secrets",
        "description": "Named secrets of HTTP targets: write-only, bound to servers and tasks.",
    },
    {"name": "keys", "description": "API keys: what each may do, and until when."},
    {"name": "alerts", "description": "Alerts that are raised, and notifications of them."},
    {"name": "audit", "description": "Who changed what, when and from where."},
    {"name": "calendars", "description": "Named calendars of days that schedules leave out."},
    {"name": "queues", "description": "Queues of runs: limits and pauses."},
    {"name": "holds", "description": "Spans of time in which tasks do not fire."},
    {"name": "handlers", "description": "What tasks can call."},
    {"name": "system", "description": "Liveness, readiness, metrics."},
]
_ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
_PACKAGE = "fastapi_swagger.resources"


def install(app: FastAPI, version: str) -> None:
    """Serve the document and its page."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, version)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document
    app.include_router(routes)


@routes.get("/")
async def start() -> RedirectResponse:
    """Redirect a browser to the dashboard."""
    return RedirectResponse("/ui")


@routes.get("/docs")
async def page() -> HTMLResponse:
    """Show the API and allow to try it; pages of other sites can neither frame it nor run scripts in it."""
    response = _page()
    response.headers["Content-Security-Policy"] = _policy(bytes(response.body).decode())
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    return response


def _policy(html: str) -> str:
    """Return a policy that allows the page's own files, and only the inline scripts that it was made with."""
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digests = (b64encode(sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; connect-src 'self'; "
        f"img-src 'self' data:; style-src 'self' 'unsafe-inline'; script-src 'self' {allowed}"
    )


def _page() -> HTMLResponse:
    return get_swagger_ui_html(
        openapi_url="/docs/openapi.json",
        title="Rota",
        swagger_js_url="/docs/swagger-ui-bundle.js",
        swagger_css_url="/docs/swagger-ui.css",
        swagger_favicon_url="/docs/favicon-32x32.png",
        swagger_ui_parameters={
            "tryItOutEnabled": True,
            "docExpansion": "list",
            # The schemas are folded: they are longer than all operations.
            "defaultModelsExpandDepth": 0,
            # The fields of a body are shown with their types.
            "defaultModelExpandDepth": 2,
        },
    )


# Not `async`: to make it takes more than a second, in which other requests are answered.
@routes.get("/docs/openapi.json")
def short_document(request: Request) -> Response:
    """Return the document that the page reads."""
    state = request.app.state
    if not hasattr(state, "page_document"):
        state.page_document = dumps(page_document(request.app.openapi()))
    return Response(state.page_document, media_type="application/json")


@routes.get("/docs/{asset}")
async def asset(asset: str) -> Response:
    """Serve one of the page's own files."""
    if asset not in _ASSETS:
        raise NotFound("There is no such file.")
    content = files(_PACKAGE).joinpath(asset).read_bytes()
    return Response(content, media_type=_ASSETS[asset], headers={"cache-control": "max-age=86400"})


def _document(app: FastAPI, version: str) -> dict[str, Any]:
    document = get_openapi(
        title="Rota",
        version=version,
        description=DESCRIPTION,
        tags=_TAGS,
        routes=app.routes,
        separate_input_output_schemas=False,
    )
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for model in (Problem, ProblemError):
        schemas[model.__name__] = model.model_json_schema(
            ref_template="#/components/schemas/{model}"
        )
        schemas[model.__name__].pop("$defs", None)
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for path, item in document["paths"].items():
        for method, operation in item.items():
            _summarise(operation)
            complete(method, path, operation)
    components["securitySchemes"] = {
        "key": {
            "type": "http",
            "scheme": "bearer",
            "description": "A key that was made by `POST /v1/keys` or `rota key create`, or one of ROTA_API_KEY. "
            "Without any, programs of the service's own machine need none.",
        }
    }
    document["security"] = [{"key": []}, {}]
    arrange(document)
    return document


def _summarise(operation: dict[str, Any]) -> None:
    """Make the first sentence of a route's docstring its summary."""
    text = " ".join(operation.get("description", "").split())
    first, stop, rest = text.partition(". ")
    # A summary is plain text; only descriptions are Markdown.
    operation["summary"] = first.removesuffix(".").replace("`", "")
    if stop:
        operation["description"] = rest
    else:
        operation.pop("description", None)
