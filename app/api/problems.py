"""Problems (RFC 9457): what was wrong, where, and what would be right."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from app import errors
from app.domain.faults import detail_of, pointer_to
from app.domain.values import dumps, printable

log = structlog.get_logger(__name__)

Responses = dict[int | str, dict[str, Any]]

#: What any route may answer, whatever it does.
_ANYWHERE = (400, 401, 403, 405, 413, 415, 421, 422, 503)

MEDIA_TYPE = "application/problem+json"

_STATUS: dict[type[errors.AppError], int] = {
    errors.MalformedJson: 400,
    errors.NotJson: 422,
    errors.Invalid: 422,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.PreconditionFailed: 412,
    errors.TooLarge: 413,
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
    415: ("unsupported-media-type", "The body is not declared as JSON"),
    421: ("wrong-host", "Not the host you asked for"),
}
_RETRY_AFTER = "1"
#: What Python says where the system refuses a thread.
_NO_THREAD = "can't start new thread"
_MOST_DETAIL = 500


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
    errors: list[ProblemError] = []
    request_id: str


def problem_response(
    status: int,
    slug: str,
    title: str,
    detail: str,
    *,
    faults: Sequence[Mapping[str, str]] = (),
    present: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    request_id: str | None = None,
) -> Response:
    """Return a problem document; `present` is what is there instead of what the caller expected."""
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
        "request_id": request_id,
    }
    sent = {"x-request-id": request_id, **(headers or {})}
    return Response(dumps(content), status, sent, MEDIA_TYPE)


def describe(*statuses: int, also: Responses | None = None) -> Responses:
    """Return the OpenAPI entries for the problems that a route can answer with, and for its other answers."""
    problems: Responses = {
        status: {
            "description": _descriptions()[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in (*_ANYWHERE, *statuses)
    }
    return problems | (also or {})


def install(app: FastAPI) -> None:
    """Answer every error of the application with a problem."""
    app.add_exception_handler(errors.AppError, _app_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RuntimeError, _runtime_error)
    app.add_exception_handler(Exception, _bug)


def app_error_response(error: errors.AppError) -> Response:
    """Return the problem for an error of ours."""
    status = next(code for cls, code in _STATUS.items() if isinstance(error, cls))
    return problem_response(
        status,
        error.slug,
        error.title,
        error.detail,
        faults=[{"pointer": fault.pointer, "detail": fault.detail} for fault in error.faults],
        present=error.present,
        headers={"retry-after": _RETRY_AFTER} if status == 503 else None,
    )


def _descriptions() -> dict[int, str]:
    return {
        **{status: title for status, (_, title) in _BY_STATUS.items()},
        **{status: cls.title for cls, status in _STATUS.items()},
    }


async def _app_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.AppError)
    return app_error_response(error)


async def _validation_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = _innermost([_fault(each, error.body) for each in error.errors()])
    first = faults[0]
    place = first.get("pointer") or first.get("parameter") or "The body"
    return problem_response(
        422, "invalid", errors.Invalid.title, f"{place}: {first['detail']}.", faults=faults
    )


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, errors.AppError):  # raised while FastAPI read the body
        return app_error_response(error.__cause__)
    slug, title = _BY_STATUS.get(error.status_code, ("error", "The request failed"))
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    if error.status_code == 405:
        headers["allow"] = ", ".join(sorted(_allowed(request))) or headers["allow"]
    return problem_response(error.status_code, slug, title, str(error.detail), headers=headers)


async def _runtime_error(_request: Request, error: Exception) -> Response:
    """Tell of a limit on threads, which is no fault of Rota; all others are."""
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


def _allowed(request: Request) -> set[str]:
    """Return the methods of every route at this path; the router tells those of the first one only."""
    found: set[str] = set()
    for route in request.app.state.routes:
        if route.path_regex.match(request.url.path):
            found |= route.methods
    return found


def _innermost(faults: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Leave out what follows from another fault: the other halves of a union, an object around a wrong member."""
    kept: dict[str, dict[str, str]] = {}
    for fault in faults:
        kept.setdefault(fault.get("pointer", fault.get("parameter", "")), fault)
    return [
        fault
        for place, fault in kept.items()
        if not any(other.startswith(f"{place}/") for other in kept)
    ]


def _fault(error: Mapping[str, Any], body: Any) -> dict[str, str]:
    place, *path = error["loc"]
    detail = detail_of(error)
    if place == "body":
        return {"pointer": pointer_to({**error, "loc": path}, body), "detail": detail}
    return {"parameter": str(path[0]) if path else str(place), "detail": detail}
