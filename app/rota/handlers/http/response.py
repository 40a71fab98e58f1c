"""Replies to the `http` handler's requests: as a result, or as an outcome that they declare."""

import asyncio
import codecs
from dataclasses import replace
from functools import partial
from typing import Any, Never, assert_never

from rota.domain.http_target.outcome_document import OutcomeIn, read_outcome
from rota.domain.kv.entries import CheckFailed
from rota.domain.kv.operation_requests import (
    AppendIn,
    CheckIn,
    DeleteIn,
    ExpireIn,
    IncrementIn,
    MaxIn,
    OperationIn,
    SetIn,
    SetOnceIn,
)
from rota.domain.primitives import json_text
from rota.domain.primitives.unset import UNSET
from rota.domain.runs.errors import ErrorResponse, RunError
from rota.domain.runs.outcomes import Conflicted, Failed, Fatal, RetryRequested
from rota.errors import AppError, Invalid, TooLarge
from rota.handlers.daemon_threads import aside
from rota.handlers.http.client import Reply, charset_of, is_json, media_type_of
from rota.handlers.outcomes import EndsWith
from rota.sdk.contexts import Context
from rota.sdk.kv import Kv
from rota.sdk.kv_operations import append, increment, raise_to

OUTCOME_TYPE = "application/vnd.rota.outcome+json"

# Never Set-Cookie: a result is read by more people than a session is meant for.
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
# So many operations are carried out without a pause.
_SLICE = 20
#: How much of the body of a failed call is kept with its error.
MOST_ERROR_BYTES = 2_048


def is_outcome(reply: Reply) -> bool:
    """Tell whether the reply says itself what the attempt comes to."""
    return _media_type(reply) == OUTCOME_TYPE


async def follow(ctx: Context, reply: Reply) -> Any:
    """Do what the reply says: change the kv and return the result, or end as it asks."""
    outcome = await aside(len(reply.body), partial(_read_outcome, reply))
    if outcome.retry:
        error = RunError("retry", json_text.printable(outcome.retry.reason, 2_000))
        raise EndsWith(RetryRequested(outcome.retry.after, error))
    if outcome.fail:
        raise EndsWith(Fatal(RunError("fail", json_text.printable(outcome.fail.reason, 2_000))))
    for index, said in enumerate(outcome.kv):
        if index % _SLICE == _SLICE - 1:
            await asyncio.sleep(0)  # each may read and write a large entry
        await _apply(ctx.kv, index, said)
    return outcome.result


async def shown(reply: Reply) -> dict[str, Any]:
    """Return the reply as the result of a run."""
    body = await aside(len(reply.body), partial(_body, reply))
    result: dict[str, Any] = {
        "status": reply.status,
        "headers": _shown_headers(reply),
        "body": body,
    }
    if body is None and reply.body:
        result["body_bytes"] = len(reply.body)
    if reply.truncated:
        result["truncated"] = True
    return result


def error_response(reply: Reply) -> ErrorResponse:
    """Return what the error of a failed call keeps of the reply."""
    start = replace(reply, body=reply.body[:MOST_ERROR_BYTES])
    cut = len(reply.body) > MOST_ERROR_BYTES or reply.truncated
    readable = bool(reply.body) and not reply.encoding and _is_text(reply)
    body = _text(start, final=not cut) if readable else None
    return ErrorResponse(reply.status, _shown_headers(reply), body, cut)


def _shown_headers(reply: Reply) -> dict[str, str]:
    return {
        name: json_text.printable(reply.headers[name], 1_000)
        for name in _SHOWN_HEADERS
        if name in reply.headers
    }


def _read_outcome(reply: Reply) -> OutcomeIn:
    if reply.truncated:
        _unfit(f"it is larger than the {len(reply.body)} bytes that are read of a reply")
    if reply.encoding:
        _unfit(f"its Content-Encoding is {reply.encoding[:100]!r}, and cannot be read")
    try:
        return read_outcome(reply.body)
    except (Invalid, TooLarge) as error:
        _unfit(error.detail)


async def _apply(kv: Kv, index: int, said: OperationIn) -> None:
    try:
        await _carry_out(kv, said)
    except CheckFailed as error:
        if error.changed:  # whoever answered may have seen the entry as it was
            raise EndsWith(Conflicted(said.key)) from None
        message = json_text.printable(f"/kv/{index}: {error.detail}", 2_000)
        raise EndsWith(Failed(RunError("kv.check", message))) from None
    except AppError as error:
        _unfit(f"/kv/{index}: {error.detail}")


async def _carry_out(kv: Kv, said: OperationIn) -> None:
    match said:
        case IncrementIn():
            await kv.commute(increment(said.key, said.by))
        case AppendIn():
            await kv.commute(append(said.key, said.value, said.max_length))
        case MaxIn():
            await kv.commute(raise_to(said.key, said.value))
        case CheckIn():
            value = said.value if "value" in said.model_fields_set else UNSET
            await kv.check(said.key, version=said.version, value=value, absent=bool(said.absent))
        case _:
            await _write(kv, said)


async def _write(kv: Kv, said: SetIn | SetOnceIn | DeleteIn | ExpireIn) -> None:
    match said:
        case SetIn():
            await kv.set(said.key, said.value, ttl=said.ttl)
        case SetOnceIn():
            await kv.set_once(said.key, said.value, ttl=said.ttl)
        case DeleteIn():
            await kv.delete(said.key)
        case ExpireIn():
            await kv.expire(said.key, said.ttl)
        case _:
            assert_never(said)


def _unfit(detail: str) -> Never:
    message = json_text.printable(f"the outcome in the reply cannot be taken: {detail}", 2_000)
    raise EndsWith(Failed(RunError("http.outcome", message)))


def _body(reply: Reply) -> Any:
    if not reply.body or reply.encoding:
        return None
    if is_json(_content_type(reply)):
        try:
            body = json_text.loads(reply.body, json_text.MOST_VALUES)
            json_text.dumps({"body": body})  # one level deeper than it came
        except (Invalid, TooLarge):
            return _text(reply)
        return body
    return _text(reply) if _is_text(reply) else None


def _is_text(reply: Reply) -> bool:
    media_type = _media_type(reply)
    return not media_type or media_type.startswith(_TEXT_TYPES) or is_json(media_type)


def _text(reply: Reply, *, final: bool = True) -> str | None:
    """Return the body as text; what is not `final` may end within a character, which is left out."""
    charset = charset_of(_content_type(reply))
    decoder = codecs.getincrementaldecoder(charset)(errors="replace")
    text = decoder.decode(reply.body, final=final).removeprefix("\ufeff")
    if "\x00" in text and not _media_type(reply):
        return None  # nobody said that it was text
    return json_text.printable(text, len(text))


def _media_type(reply: Reply) -> str:
    return media_type_of(_content_type(reply))


def _content_type(reply: Reply) -> str:
    return reply.headers.get("content-type", "")
