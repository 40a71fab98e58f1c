"""Replies to the `http` handler's requests: as a result, or as an outcome that they declare."""

from typing import Annotated, Any, Literal, Never, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from app.domain import values
from app.domain.durations import Duration
from app.domain.runs import Failed, Fatal, RetryAsked, RunError
from app.errors import AppError, Invalid
from app.handlers.egress import Reply
from app.handlers.outcomes import EndsWith
from app.sdk import Context

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
_LATER_OPERATIONS = frozenset({"increment", "append", "max", "set_once", "expire", "check"})
_TEXT_TYPES = ("text/", "application/xml", "application/x-www-form-urlencoded")
# Not whatever name a reply gives: Python has codecs that are no encodings of text.
_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii", "iso-8859-1", "windows-1252", "utf-16"})


class _Operation(BaseModel):
    model_config = ConfigDict(extra="forbid")

    key: str


class _Set(_Operation):
    op: Literal["set"]
    value: Any
    ttl: Duration | None = None


class _Delete(_Operation):
    op: Literal["delete"]


class _Retry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    after: Duration | None = None
    reason: str = "the target asked for another attempt"


class _Fail(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: str = "the target said that trying again is of no use"


class _Outcome(BaseModel):
    model_config = ConfigDict(extra="forbid")

    result: Any = None
    kv: list[Annotated[_Set | _Delete, Field(discriminator="op")]] = []
    retry: _Retry | None = None
    fail: _Fail | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if (self.retry or self.fail) and len(self.model_fields_set) > 1:
            raise ValueError("'retry' and 'fail' stand alone")
        return self


def is_outcome(reply: Reply) -> bool:
    """Tell whether the reply says itself what the attempt comes to."""
    return _media_type(reply) == OUTCOME_TYPE


async def follow(ctx: Context, reply: Reply) -> Any:
    """Do what the reply says: change the kv and return the result, or end as it asks."""
    outcome = _read_outcome(reply)
    if outcome.retry:
        error = RunError("retry", values.printable(outcome.retry.reason, 2_000))
        raise EndsWith(RetryAsked(outcome.retry.after, error))
    if outcome.fail:
        raise EndsWith(Fatal(RunError("fail", values.printable(outcome.fail.reason, 2_000))))
    for operation in outcome.kv:
        await _apply(ctx, operation)
    return outcome.result


def shown(reply: Reply) -> dict[str, Any]:
    """Return the reply as the result of a run."""
    headers = {
        name: values.printable(reply.headers[name], 1_000)
        for name in _SHOWN_HEADERS
        if name in reply.headers
    }
    body = _body(reply)
    result: dict[str, Any] = {"status": reply.status, "headers": headers, "body": body}
    if body is None and reply.body:
        result["body_bytes"] = len(reply.body)
    if reply.truncated:
        result["truncated"] = True
    return result


def _read_outcome(reply: Reply) -> _Outcome:
    if reply.truncated:
        _unfit(f"it is larger than the {len(reply.body)} bytes that are read of a reply")
    try:
        document = values.loads(reply.body)
        _refuse_later_operations(document)
        return _Outcome.model_validate(document)
    except Invalid as error:
        _unfit(error.detail)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = "".join(f"/{values.escape(part)}" for part in first["loc"])
        _unfit(f"{where or 'the document'}: {first['msg']}")


def _refuse_later_operations(document: Any) -> None:
    operations = document.get("kv") if isinstance(document, dict) else None
    for operation in operations if isinstance(operations, list) else ():
        name = operation.get("op") if isinstance(operation, dict) else None
        if isinstance(name, str) and name in _LATER_OPERATIONS:
            _unfit(f"the kv operation {name!r} comes with a later version; use 'set' or 'delete'")


async def _apply(ctx: Context, operation: _Set | _Delete) -> None:
    try:
        if isinstance(operation, _Set):
            await ctx.kv.set(operation.key, operation.value, ttl=operation.ttl)
        else:
            await ctx.kv.delete(operation.key)
    except AppError as error:
        _unfit(error.detail)


def _unfit(detail: str) -> Never:
    message = values.printable(f"the outcome in the reply cannot be taken: {detail}", 2_000)
    raise EndsWith(Failed(RunError("http.outcome", message)))


def _body(reply: Reply) -> Any:
    if not reply.body or reply.headers.get("content-encoding", "identity") != "identity":
        return None
    media_type = _media_type(reply)
    if _is_json(media_type):
        try:
            body = values.loads(reply.body)
            values.dumps({"body": body})  # one level deeper than it came
        except Invalid:
            return _text(reply)
        return body
    return _text(reply) if not media_type or media_type.startswith(_TEXT_TYPES) else None


def _is_json(media_type: str) -> bool:
    return media_type == "application/json" or media_type.endswith("+json")


def _text(reply: Reply) -> str | None:
    charset = reply.headers.get("content-type", "").lower().partition("charset=")[2].strip('" ;')
    text = reply.body.decode(charset if charset in _CHARSETS else "utf-8", errors="replace")
    if "\x00" in text and not _media_type(reply):
        return None  # nobody said that it was text
    return values.printable(text, len(text))


def _media_type(reply: Reply) -> str:
    return reply.headers.get("content-type", "").partition(";")[0].strip().lower()
