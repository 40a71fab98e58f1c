"""What a page is made from: the request, the API with the rights of its session, and the templates."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from rota.api.http.services import Services
from rota.domain.access.session import Session
from rota.web.api_client import ApiClient
from rota.web.forms import read_form
from rota.web.rendering import render
from rota.web.rights import Rights

_MOST_HOLDS: Final = 200


@dataclass(frozen=True, slots=True)
class Page:
    """One request for a page."""

    request: Request
    services: Services
    session: Session | None
    api: ApiClient
    #: The holds of everything that last: each page says so.
    banners: Sequence[Mapping[str, Any]] = ()

    @property
    def parameters(self) -> Mapping[str, str]:
        """The parameters in the URL that are not empty."""
        return {name: value for name, value in self.request.query_params.items() if value}

    @property
    def address(self) -> str:
        """The address at which the browser reaches the service."""
        return str(self.request.base_url).rstrip("/")

    @property
    def rights(self) -> Rights:
        """What the session may do."""
        return Rights(self.request, self.api.caller)

    def part(self, name: str) -> str:
        """Return a part of the path."""
        return str(self.request.path_params[name])

    def show(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """Return a page, rendered from a template."""
        shown = {
            "path": self.request.url.path,
            "parameters": self.parameters,
            "signed_in": self.session is not None,
            "now": self.services.clock.now(),
            "url_with": self.url_with,
            "url_of": self.url_of,
            "banners": self.banners,
            "address": self.address,
            "rights": self.rights,
        }
        content = render(template, **shown, **values)
        return HTMLResponse(content, status, headers={"cache-control": "no-store"})

    async def with_banners(self) -> "Page":
        """Return the page with the holds of everything that last now; raises ApiProblemError."""
        holds = await self.api.find("holds", limit=_MOST_HOLDS)
        items = holds["items"] if holds else ()
        everything = [
            each for each in items if each["status"] == "active" and each["selector"].get("all")
        ]
        return replace(self, banners=everything)

    async def form(self) -> Mapping[str, str]:
        """Return the fields of the form that was sent; raises TooLarge."""
        return await read_form(self.request)

    def url_of(self, *path: str) -> str:
        """Return the URL of another page."""
        return "/ui/" + "/".join(quote(part, safe="") for part in path)

    def url_with(self, **changed: Any) -> str:
        """Return the URL of this page with other parameters; None removes one."""
        kept = {k: v for k, v in {**self.parameters, **changed}.items() if v not in (None, "")}
        return f"{self.request.url.path}?{urlencode(kept)}" if kept else self.request.url.path


#: What shows a page, or does what a form of it asks for.
View = Callable[[Page], Awaitable[Response]]
#: The views of a module, by method and path.
Views = Mapping[tuple[str, str], View]


def see_other(url: str) -> Response:
    """Return a redirect to the page that shows what a form has done."""
    return RedirectResponse(url, status_code=303)
