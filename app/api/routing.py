"""Routes that read JSON strictly and know their parameters."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from app.domain import values
from app.errors import Invalid

MEBIBYTE = 1_048_576
BODY_LIMIT = MEBIBYTE
BATCH_BODY_LIMIT = 16 * MEBIBYTE


class StrictRequest(Request):
    """A request whose JSON is read as Rota keeps it: no repeated keys, NaN, NUL, lone surrogates."""

    async def json(self) -> Any:
        if not hasattr(self, "_json"):
            self._json = values.loads(await self.body())
        return self._json


class StrictRoute(APIRoute):
    """A route that refuses unknown query parameters and bodies that are not declared as JSON."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        known = _query_names(self.dependant)
        takes_body = self.body_field is not None

        async def strict(request: Request) -> Response:
            if request.scope["query_string"]:
                _check_query(request, known)
            if takes_body:
                _check_media_type(request)
            return await handle(StrictRequest(request.scope, request.receive))

        return strict


def router(prefix: str, tag: str) -> APIRouter:
    """Return a router whose routes are strict and bounded."""
    return APIRouter(prefix=prefix, tags=[tag], route_class=StrictRoute, max_body_size=BODY_LIMIT)


def _query_names(dependant: Dependant) -> frozenset[str]:
    names = {field.alias for field in dependant.query_params}
    for each in dependant.dependencies:
        names |= _query_names(each)
    return frozenset(names)


def _check_query(request: Request, known: frozenset[str]) -> None:
    query = request.query_params
    unknown = sorted(set(query) - known)
    if unknown:
        there = ", ".join(sorted(known)) or "none"
        raise Invalid(
            f"The query parameter {unknown[0][:100]!r} is not known here; there are: {there}.",
            slug="unknown-parameter",
        )
    # PostgreSQL cannot even compare text that holds it.
    nul = [name for name, value in query.multi_items() if "\x00" in value]
    if nul:
        raise Invalid(f"{nul[0]}: nothing holds the character NUL (U+0000).", slug="invalid-filter")


def _check_media_type(request: Request) -> None:
    headers = request.headers
    has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    is_json = media_type.startswith("application/") and media_type.endswith(("/json", "+json"))
    if has_body and not is_json:
        raise HTTPException(
            415, "Send the body as JSON, with the header Content-Type: application/json."
        )
