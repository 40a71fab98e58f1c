"""Responses to the `http` handler's requests: the result of a response, or the outcome that it declares."""

import asyncio
import codecs
from dataclasses import replace
from functools import partial
from typing import Any, Never

from rota.daemon_threads import in_thread_if_large
from rota.domain.http_target.outcome_document import OutcomeIn, read_outcome
from rota.domain.http_target.outcome_writes import draft_write, reads_entries
from rota.domain.kv.entries import CheckFailed
from rota.domain.kv.operation_requests import OperationIn
from rota.domain.primitives.json import json_text
from rota.domain.runs.errors import ErrorResponse, RunError
from rota.domain.runs.outcomes import Conflicted, Failed, Fatal, RetryRequested
from rota.egress.requests import Response, charset_of, is_json, media_type_of
from rota.errors import AppError, Invalid, TooLarge
from rota.handlers.outcomes import EndsWith
from rota.sdk.contexts import Context
from rota.sdk.kv import Kv

OUTCOME_TYPE = "application/vnd.rota.outcome+json"

# Never Set-Cookie: results have more readers than a session should have.
_SHOWN_HEADERS = (
    "content-type",
    "content-length",
    "content-encoding",
    "date",
    "etag",
    "last-modified",
    "location",
    "retry-after",
    "x-request-id",
)
_TEXT_TYPES = ("text/", "application/xml", "application/x-www-form-urlencoded")
# So many operations are executed before other tasks of the loop run.
_SLICE = 20
#: How much of the body of a failed call is kept with its error.
MOST_ERROR_BYTES = 2_048
MOST_PATH = 1_000


def without_unread_headers(response: Response) -> Response:
    """Return a response with those headers only that Rota reads or shows."""
    read = {name: response.headers[name] for name in _SHOWN_HEADERS if name in response.headers}
    return replace(response, headers=read)


def is_outcome(response: Response) -> bool:
    """Return whether the response declares the outcome of the attempt."""
    return _media_type(response) == OUTCOME_TYPE


async def apply_outcome(ctx: Context, response: Response) -> Any:
    """Apply the outcome in a response: change the kv and return the result, or end the attempt."""
    outcome = await in_thread_if_large(len(response.body), partial(_read_outcome, response))
    if outcome.retry:
        error = RunError("retry", json_text.printable(outcome.retry.reason, 2_000))
        raise EndsWith(RetryRequested(outcome.retry.after, error))
    if outcome.fail:
        raise EndsWith(Fatal(RunError("fail", json_text.printable(outcome.fail.reason, 2_000))))
    for index, operation in enumerate(outcome.kv):
        if index % _SLICE == _SLICE - 1:
            await asyncio.sleep(0)  # each may read and write a large entry
        await _apply(ctx.kv, index, operation)
    return outcome.result


async def result_of(response: Response) -> dict[str, Any]:
    """Return the result of a run: a document with the status, headers and body of the response."""
    body = await in_thread_if_large(len(response.body), partial(_body, response))
    result: dict[str, Any] = {
        "status": response.status,
        "headers": _shown_headers(response),
        "body": body,
    }
    if body is None and response.body:
        result["body_bytes"] = len(response.body)
    if response.truncated:
        result["truncated"] = True
    return result


def error_response(response: Response) -> ErrorResponse:
    """Return the part of the response that is kept with the error of a failed call."""
    start = replace(response, body=response.body[:MOST_ERROR_BYTES])
    cut = len(response.body) > MOST_ERROR_BYTES or response.truncated
    readable = bool(response.body) and not response.encoding and _is_text(response)
    body = _text(start, final=not cut) if readable else None
    path = json_text.printable(response.url_path, MOST_PATH)
    return ErrorResponse(response.status, _shown_headers(response), body, cut, path)


def _shown_headers(response: Response) -> dict[str, str]:
    return {
        name: json_text.printable(response.headers[name], 1_000)
        for name in _SHOWN_HEADERS
        if name in response.headers
    }


def _read_outcome(response: Response) -> OutcomeIn:
    if response.truncated:
        _invalid(f"it is larger than the {len(response.body)} bytes that are read of a response")
    if response.encoding:
        _invalid(f"its Content-Encoding is {response.encoding[:100]!r}, which cannot be read")
    try:
        return read_outcome(response.body)
    except (Invalid, TooLarge) as error:
        _invalid(error.detail)


async def _apply(kv: Kv, index: int, operation: OperationIn) -> None:
    try:
        draft_write(await kv.draft(reads=reads_entries(operation)), operation)
    except CheckFailed as error:
        if error.changed:  # the target may have read the entry before the change
            raise EndsWith(Conflicted(operation.key)) from None
        message = json_text.printable(f"/kv/{index}: {error.detail}", 2_000)
        raise EndsWith(Failed(RunError("kv.check", message))) from None
    except AppError as error:
        _invalid(f"/kv/{index}: {error.detail}")


def _invalid(detail: str) -> Never:
    message = json_text.printable(f"the outcome in the response is invalid: {detail}", 2_000)
    raise EndsWith(Failed(RunError("http.outcome", message)))


def _body(response: Response) -> Any:
    if not response.body or response.encoding:
        return None
    if is_json(_content_type(response)):
        try:
            body = json_text.loads(response.body, json_text.MOST_VALUES)
            json_text.dumps({"body": body})  # check the depth, one level more than in the response
        except (Invalid, TooLarge):
            return _text(response)
        return body
    return _text(response) if _is_text(response) else None


def _is_text(response: Response) -> bool:
    media_type = _media_type(response)
    return not media_type or media_type.startswith(_TEXT_TYPES) or is_json(media_type)


def _text(response: Response, *, final: bool = True) -> str | None:
    """Return the body as text; if it is not `final`, an incomplete character at its end is left out."""
    charset = charset_of(_content_type(response))
    decoder = codecs.getincrementaldecoder(charset)(errors="replace")
    text = decoder.decode(response.body, final=final).removeprefix("\ufeff")
    if "\x00" in text and not _media_type(response):
        return None  # it was not declared to be text
    return json_text.printable(text, len(text))


def _media_type(response: Response) -> str:
    return media_type_of(_content_type(response))


def _content_type(response: Response) -> str:
    return response.headers.get("content-type", "")
