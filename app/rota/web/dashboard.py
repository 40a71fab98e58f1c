"""The dashboard as ASGI middleware around the API: `/ui` and below are its own, everything else passes through."""

from collections.abc import Awaitable, Callable
from functools import cache
from importlib.resources import files
from pathlib import PurePath
from typing import Final
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from rota.api.http.services import Services
from rota.api.problems.problem import app_error_response, status_of
from rota.domain.access.session import Session
from rota.errors import AppError
from rota.web import forms, sessions
from rota.web.api_client import ApiClient, ApiProblemError
from rota.web.open_streams import OpenStreams
from rota.web.page import Page, View, see_other
from rota.web.routes import OPEN_VIEWS, VIEWS

_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
#: The script of a page reads the API below this path, with the cookie of the session.
_PASSED: Final = "/ui/api/"
_NOT_SHOWN: Final = {
    404: "There is no page {}.",
    405: "{} is where a form is sent to; it cannot be opened, or loaded again.",
}


class Dashboard:
    """ASGI middleware. Outside of the one that checks keys, which its calls of the API go through."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._streams = OpenStreams()
        self._pages = Router(
            [
                Route(
                    "/ui/sign-in", self._endpoint(_show_sign_in, needs_key=False), methods=["GET"]
                ),
                Route(
                    "/ui/sign-in", self._endpoint(self._sign_in, needs_key=False), methods=["POST"]
                ),
                Route(
                    "/ui/sign-out",
                    self._endpoint(self._sign_out, needs_key=False),
                    methods=["POST"],
                ),
                Route("/ui/static/{name}", _static, methods=["GET"]),
                *(
                    Route(path, self._endpoint(view, needs_key=False), methods=[method])
                    for (method, path), view in OPEN_VIEWS.items()
                ),
                *(
                    Route(path, self._endpoint(view), methods=[method])
                    for (method, path), view in VIEWS.items()
                ),
            ],
            redirect_slashes=True,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or not (path == "/ui" or path.startswith("/ui/")):
            await self._app(scope, receive, send)
        elif path.startswith(_PASSED):
            await self._pass_on(scope, receive, send)
        else:
            await self._show(scope, receive, send)

    async def _show(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Show a page; that there is none, or none to be opened, is said on one as well."""
        try:
            await self._pages(scope, receive, send)
        except HTTPException as error:
            page = self._page(Request(scope, receive), None)
            detail = _NOT_SHOWN.get(error.status_code, error.detail).format(scope["path"])
            response = _problem(page, error.status_code, detail)
            response.headers.update(error.headers or {})
            await response(scope, receive, send)

    def _endpoint(
        self, view: View, *, needs_key: bool = True
    ) -> Callable[[Request], Awaitable[Response]]:
        """Return what serves a view, and shows on a page what goes wrong. `needs_key`: where the service does."""

        async def serve(request: Request) -> Response:
            page = self._page(request, None)
            try:
                if request.method == "POST":
                    forms.check_same_origin(request)
                page = self._page(request, await sessions.session_of(request, page.services))
                return await view(await page.with_banners() if needs_key else page)
            except ApiProblemError as error:
                if error.status == 401:
                    return _to_sign_in(request)
                return _problem(page, error.status, str(error))
            except AppError as error:
                return _problem(page, status_of(error), error.detail)

        return serve

    def _page(self, request: Request, session: Session | None) -> Page:
        services: Services = request.app.state.services
        return Page(request, services, session, ApiClient(self._app, request.scope, session))

    async def _sign_in(self, page: Page) -> Response:
        given = (await page.form()).get("key", "").strip()
        response = see_other(_own_path(page.parameters.get("next", "")))
        try:
            await sessions.sign_in(self._app, page.request, page.services, given, response)
        except ApiProblemError as error:
            return page.show("access/sign_in.html", status=error.status, fault=str(error))
        return response

    async def _sign_out(self, page: Page) -> Response:
        everywhere = (await page.form()).get("everywhere") == "yes"
        response = see_other("/ui/sign-in")
        await sessions.sign_out(page.request, page.services, response, everywhere=everywhere)
        self._streams.look_again()
        return response

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request of a script by the API, streams included: reads only; forms are what changes something."""
        request = Request(scope, receive)
        try:
            session = await sessions.session_of(request, request.app.state.services)
        except AppError as error:
            await app_error_response(error)(scope, receive, send)
            return
        path = scope["path"].removeprefix("/ui/api")
        if request.method != "GET" or not path.startswith("/v1/"):
            await Response(status_code=404)(scope, receive, send)
            return
        client = ApiClient(self._app, scope, session)
        inner = client.scope_of("GET", path.removeprefix("/v1/").split("/"), {})
        inner["query_string"] = scope["query_string"]
        if session is None:
            await self._app(inner, receive, send)
            return

        async def is_over() -> bool:
            return await sessions.session_of(request, request.app.state.services) is None

        await self._streams.serve(self._app, inner, receive, send, is_over)


async def _show_sign_in(page: Page) -> Response:
    return page.show("access/sign_in.html", fault=None)


def _static(request: Request) -> Response:
    content = _files().get(request.path_params["name"])
    if content is None:
        return Response(status_code=404)
    kind = _TYPES[PurePath(request.path_params["name"]).suffix]
    return Response(content, media_type=kind, headers={"cache-control": "max-age=300"})


@cache
def _files() -> dict[str, bytes]:
    """Return the files of styles, scripts and pictures by their names."""
    folder = files("rota.web").joinpath("static")
    return {each.name: each.read_bytes() for each in folder.iterdir()}


def _to_sign_in(request: Request) -> Response:
    url = request.url.path if request.method == "GET" else "/ui"
    if request.url.query and request.method == "GET":
        url += f"?{request.url.query}"
    return RedirectResponse(f"/ui/sign-in?{urlencode({'next': url})}", status_code=303)


def _own_path(url: str) -> str:
    """Return a URL if it is one of the dashboard, else its first page: a link must not lead elsewhere after sign-in."""
    return url if url.startswith("/ui") and not url.startswith("/ui/sign-in") else "/ui"


def _problem(page: Page, status: int, detail: str) -> Response:
    return page.show("problem.html", status=status, code=status, detail=detail)
