"""Problems (RFC 9457): what is wrong with a request, where, and how to correct it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import uuid4

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from rota import errors
from rota.api.http.validation import invalid_request
from rota.api.problems.examples import example, meaning
from rota.api.problems.types import PROBLEM_TYPES
from rota.domain.primitives.json.json_text import dumps, printable

log = structlog.get_logger(__name__)

Responses = dict[int | str, dict[str, Any]]

MEDIA_TYPE = "application/problem+json"

_STATUS: dict[type[errors.AppError], int] = {
    errors.MalformedJson: 400,
    errors.NotJson: 422,
    errors.Invalid: 422,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Forbidden: 403,
    errors.PreconditionFailed: 412,
    errors.TooLarge: 413,
    errors.RateLimited: 429,
    errors.Unavailable: 503,
    errors.Sealed: 503,
    errors.LeaseLost: 409,
}
_BY_STATUS = {
    400: ("malformed-request", "The request cannot be read"),
    401: ("unauthorized", "A key is needed"),
    403: ("forbidden", "Not allowed"),
    404: ("not-found", "Not found"),
    405: ("method-not-allowed", "Not possible with this method"),
    413: ("too-large", "Too large"),
    415: ("unsupported-media-type", "The body is of a type that is not accepted here"),
    421: ("wrong-host", "Not the requested host"),
}
# The type of problem where a route names a status only.
_BY_NUMBER = {404: "not-found", 409: "conflict", 412: "precondition-failed", 413: "too-large"}
_RETRY_AFTER = "1"
#: The message of Python's RuntimeError if the system refuses a thread.
_NO_THREAD = "can't start new thread"
_MOST_ERRORS = errors.MOST_FAULTS
_MOST_DETAIL = 500
# A key can be as long as the body: a pointer that is longer ends above it.
MOST_POINTER = 1_000
_MOST_PATH = 200
_MOST_QUOTED = 100


class ProblemError(BaseModel):
    """One fault: a JSON pointer into the body, or the parameter."""

    pointer: str | None = Field(None, examples=["/schedule/timezone"])
    parameter: str | None = Field(None, examples=["limit"])
    detail: str


class Problem(BaseModel):
    """RFC 9457."""

    type: str = Field(examples=["/problems/unknown-handler"])
    title: str
    status: int
    detail: str
    errors: list[ProblemError] = Field([], max_length=_MOST_ERRORS)
    errors_omitted: int | None = Field(
        None, ge=1, description="How many more there are than in `errors`; missing if none."
    )
    request_id: str


def problem_response(
    status: int,
    slug: str,
    title: str,
    detail: str,
    *,
    faults: Sequence[Mapping[str, str]] = (),
    omitted: int = 0,
    present: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    request_id: str | None = None,
) -> Response:
    """Return a problem document; `present` are fields that show what exists in place of what was expected."""
    request_id = request_id or uuid4().hex
    content = {
        **(present or {}),
        "type": f"/problems/{slug}",
        "title": title,
        "status": status,
        "detail": printable(detail, 2_000),
        "errors": [
            {**fault, "detail": printable(fault["detail"], _MOST_DETAIL)} for fault in faults
        ],
        **({"errors_omitted": omitted} if omitted else {}),
        "request_id": request_id,
    }
    sent = {"x-request-id": request_id, **(headers or {})}
    return Response(dumps(content), status, sent, MEDIA_TYPE)


def describe(*kinds: int | str, also: Responses | None = None) -> Responses:
    """Return the OpenAPI entries for the problems of a route, and for its other responses.

    A problem is named by its type, or by its status if that represents one type. Problems that any request can have
    are added in `openapi.document`.
    """
    slugs = [_BY_NUMBER[kind] if isinstance(kind, int) else kind for kind in kinds]
    return problem_responses(slugs) | (also or {})


def problem_responses(slugs: Iterable[str], *, has_body: bool = True) -> Responses:
    """Return the OpenAPI entries for types of problems, by status: the meaning and an example of each."""
    found: dict[int | str, list[str]] = {}
    for slug in dict.fromkeys(slugs):
        found.setdefault(PROBLEM_TYPES[slug][0], []).append(slug)
    return {
        status: {
            "description": "\n\n".join(f"`{slug}`: {meaning(slug)}" for slug in together),
            "content": {
                MEDIA_TYPE: {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                    "examples": {
                        slug: {"value": example(slug, has_body=has_body)} for slug in together
                    },
                }
            },
        }
        for status, together in sorted(found.items(), key=str)
    }


def install(app: FastAPI) -> None:
    """Return a problem for every error of the application."""
    app.add_exception_handler(errors.AppError, _app_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RuntimeError, _runtime_error)
    app.add_exception_handler(Exception, _bug)


def status_of(error: errors.AppError) -> int:
    """Return the status of the response to an error of ours."""
    return next(code for cls, code in _STATUS.items() if isinstance(error, cls))


def app_error_response(error: errors.AppError) -> Response:
    """Return the problem for an error of ours."""
    status = status_of(error)
    return problem_response(
        status,
        error.slug,
        error.title,
        error.detail,
        faults=[_shown(fault) for fault in error.faults],
        omitted=error.omitted,
        present=error.present,
        headers=_wait(error, status),
    )


def _wait(error: errors.AppError, status: int) -> dict[str, str]:
    if isinstance(error, errors.RateLimited):
        return {"retry-after": str(error.retry_after)}
    return {"retry-after": _RETRY_AFTER} if status == 503 else {}


async def _app_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.AppError)
    return app_error_response(error)


def _shown(fault: errors.Fault) -> dict[str, str]:
    if fault.parameter is not None:
        return {"parameter": fault.parameter, "detail": fault.detail}
    pointer = fault.pointer
    if len(pointer) <= MOST_POINTER:
        return {"pointer": pointer, "detail": fault.detail}
    above = pointer[: MOST_POINTER + 1].rpartition("/")[0]
    below = printable(pointer[len(above) + 1 :], _MOST_QUOTED)
    return {"pointer": above, "detail": f"in it, at {below}: {fault.detail}"}


async def _validation_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return app_error_response(invalid_request(error, None))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, errors.AppError):  # raised while FastAPI read the body
        return app_error_response(error.__cause__)
    slug, title = _BY_STATUS.get(error.status_code, ("error", "The request failed"))
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    detail = str(error.detail)
    if error.status_code == 405:
        headers["allow"] = ", ".join(sorted(_allowed(request, headers["allow"])))
        detail = f"{request.scope['method']} is not possible here; {headers['allow']} is."
    if error.status_code == 404 and detail == "Not Found":
        detail = _nothing_at(request)
    return problem_response(error.status_code, slug, title, detail, headers=headers)


async def _runtime_error(_request: Request, error: Exception) -> Response:
    """Return a problem for a limit on threads, which is no fault of Rota; raise all other errors again."""
    if str(error) != _NO_THREAD:
        raise error
    log.warning("request.refused", error=_NO_THREAD)
    return app_error_response(
        errors.Unavailable(
            "The system refuses to start another thread: a limit on processes has been reached"
            " (pids.max, TasksMax, ulimit -u)."
        )
    )


async def _bug(request: Request, error: Exception) -> Response:
    request_id = uuid4().hex
    log.error("request.failed", path=request.url.path, request_id=request_id, exc_info=error)
    return problem_response(
        500,
        "internal",
        errors.AppError.title,
        "This is a fault of Rota; its log has the details under this request_id.",
        request_id=request_id,
    )


def _allowed(request: Request, first: str) -> set[str]:
    """Return the methods of every route at this path; the router lists those of the `first` one only."""
    found = {each.strip() for each in first.split(",")}
    for route in _routes_at(request, request.scope["path"]):
        found |= route.methods
    return found | ({"HEAD"} if "GET" in found else set())


def _routes_at(request: Request, path: str) -> list[Any]:
    return [route for route in request.app.state.routes if route.path_regex.match(path)]


def _nothing_at(request: Request) -> str:
    """Return the detail for an unknown path, with the path that may be meant."""
    path = str(request.scope["path"])
    bare = re.sub("/+", "/", path).rstrip("/")
    for near in (bare, f"/v1{bare}"):
        if near != path and _routes_at(request, near):
            return f"There is nothing at {path[:_MOST_PATH]}; did you mean {near[:_MOST_PATH]}?"
    return f"There is nothing at {path[:_MOST_PATH]}; /docs shows all paths."
