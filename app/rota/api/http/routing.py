"""Routes that read JSON strictly and refuse unknown parameters."""

from collections.abc import AsyncGenerator, Callable, Coroutine
from functools import partial
from typing import Any, ClassVar, TypeVar

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar
from fastapi import APIRouter, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope

from rota.api.http.access import needs_of
from rota.api.http.computing import READERS
from rota.api.http.validation import checked, invalid_parameter, invalid_request, unfit_in
from rota.domain.primitives.json import json_text
from rota.domain.validation.messages import nearest
from rota.errors import Invalid, TooLarge

MEBIBYTE = 1_048_576
BODY_LIMIT = MEBIBYTE
BATCH_BODY_LIMIT = 16 * MEBIBYTE
#: How many JSON values the body of a batch may have; other bodies have at most `json_text.MOST_VALUES`.
BATCH_MOST_VALUES = 400_000
#: A body of more bytes than this is parsed in a thread: parsing it would block the event loop for too long.
QUICK_BYTES = 65_536
# FastAPI builds all errors of a body on the event loop: longer bodies are validated here, up to a number of errors.
_SHORT_BYTES = 2_048

T = TypeVar("T")


class StrictRequest(Request):
    """A request whose body is bounded and whose JSON is read as Rota keeps it: no repeated keys, NaN, NUL, …"""

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        body_limit: int,
        most_values: int = json_text.MOST_VALUES,
        body_type: Any = None,
    ) -> None:
        super().__init__(scope, receive)
        self._body_limit = body_limit
        self._most_values = most_values
        self._body_type = body_type

    async def stream(self) -> AsyncGenerator[bytes, None]:
        # A declared length is checked before the body is read, an undeclared one while it is read.
        received = 0
        self._check_size(int(self.headers.get("content-length", 0)))
        async for chunk in super().stream():
            received += len(chunk)
            self._check_size(received)
            yield chunk

    async def json(self) -> Any:
        """Return the parsed body; all but short ones are validated as well: as `checked` does."""
        if not hasattr(self, "_json"):
            body = await self.body()
            self._json = await aside(self._cost(body), partial(self._read, body))
        return self._json

    def _cost(self, body: bytes) -> int:
        """Return how many bytes take as long to parse as it takes to read this body."""
        return len(body)

    def _read(self, body: bytes) -> Any:
        given = json_text.loads(body, self._most_values)
        if len(body) <= _SHORT_BYTES or self._body_type is None or given is None:
            return given
        return checked(self._body_type, given)

    def _check_size(self, size: int) -> None:
        if size > self._body_limit:
            raise TooLarge(f"The body is larger than the limit of {self._body_limit} bytes.")


async def aside(size: int, work: Callable[[], T]) -> T:
    """Call `work` on a body of `size` bytes: in a thread, if the body is long."""
    if size <= QUICK_BYTES:
        return work()
    return await to_thread.run_sync(work, limiter=_turns())


class StrictRoute(APIRoute):
    """A route that refuses unknown query parameters and bodies that are not declared as JSON."""

    body_limit: ClassVar[int] = BODY_LIMIT
    most_values: ClassVar[int] = json_text.MOST_VALUES
    request_type: ClassVar[type[StrictRequest]] = StrictRequest

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        known = _query_names(self.dependant)
        needs = needs_of(self.dependant)
        takes_body = self.body_field is not None
        body_type = None if self.body_field is None else self.body_field.field_info.annotation

        async def strict(request: Request) -> Response:
            if needs is not None:  # before anything of the request is read or reported
                needs.check(request)
            if request.scope["query_string"]:
                _check_query(request, known)
            _check_encoding(request)
            if takes_body:
                _check_media_type(request)
            bounded = self.request_type(
                request.scope, request.receive, self.body_limit, self.most_values, body_type
            )
            try:
                return await handle(bounded)
            except RequestValidationError as error:
                refused = invalid_request(error, body_type)
                unfit = unfit_in(error.body)
                body = error.body if unfit is None else unfit.body
                raise await self.complete(request, refused, body) from None

        return strict

    async def complete(self, request: Request, refused: Invalid, body: Any) -> Invalid:  # noqa: ARG002  # for subclasses
        """Return the error for a request whose body does not fit, with faults that its type does not find."""
        return refused


class BatchRoute(StrictRoute):
    """A strict route for a body with many items."""

    body_limit = BATCH_BODY_LIMIT
    most_values = BATCH_MOST_VALUES


def router(prefix: str, tag: str, route_class: type[StrictRoute] = StrictRoute) -> APIRouter:
    """Return a router whose routes are strict and bounded."""
    return APIRouter(prefix=prefix, tags=[tag], route_class=route_class)


# One limiter per event loop: tests have several.
_TURNS: RunVar[CapacityLimiter] = RunVar("rota_turns")


def _turns() -> CapacityLimiter:
    try:
        return _TURNS.get()
    except LookupError:
        turns = CapacityLimiter(READERS)
        _TURNS.set(turns)
        return turns


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
        name = unknown[0][:100]
        detail = f"this parameter is not known here; there are: {there}{nearest(name, list(known))}"
        raise invalid_parameter(name, detail, "unknown-parameter")
    # PostgreSQL cannot even compare text that holds it.
    nul = [name for name, value in query.multi_items() if "\x00" in value]
    if nul:
        raise invalid_parameter(nul[0], "nothing holds the character NUL (U+0000)")


def has_body(request: Request) -> bool:
    """Return whether a request says that it has a body."""
    headers = request.headers
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


def _check_encoding(request: Request) -> None:
    encodings = request.headers.get("content-encoding", "identity").strip().lower()
    if encodings not in {"", "identity"} and has_body(request):
        raise HTTPException(
            415,
            f"The body is encoded ({encodings[:40]}); send it as it is, without a Content-Encoding.",
            {"accept-encoding": "identity"},
        )


def _check_media_type(request: Request) -> None:
    headers = request.headers
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    is_json = media_type.startswith("application/") and media_type.endswith(("/json", "+json"))
    if has_body(request) and not is_json:
        raise HTTPException(
            415, "Send the body as JSON, with the header Content-Type: application/json."
        )
