"""Values of kv entries in requests and responses: JSON, or bytes with their own content type."""

from functools import partial
from typing import Any

from fastapi import Request, Response
from pydantic import TypeAdapter, ValidationError
from starlette.exceptions import HTTPException

from rota.api.http.responses import reply, send
from rota.api.http.routing import aside
from rota.api.http.validation import invalid_parameter, validated
from rota.api.kv.request_models import KvIn
from rota.api.kv.views import show_entry
from rota.domain.kv.entries import KvEntry, encode, encode_as, is_content_type
from rota.domain.kv.operation_requests import Ttl
from rota.domain.kv.operations import Set
from rota.domain.kv.present import JSON_TYPE
from rota.domain.validation.locations import Place
from rota.domain.validation.messages import word
from rota.errors import Fault, Invalid

_BYTES = {"*/*": {"schema": {"type": "string", "format": "binary"}}}
WRITABLE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": KvIn.model_json_schema()}, **_BYTES},
    }
}
READABLE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The entry; of bytes, these under their own type.", "content": _BYTES}
}
_TTL: TypeAdapter[Any] = TypeAdapter(Ttl)


async def read_value(request: Request, key: str, ttl: str | None, limit: int) -> Set:
    """Return the write that a request contains; raises AppError or HTTPException for a wrong body, type or duration."""
    content_type = request.headers.get("content-type", "").strip()
    body = await request.body()
    if not body and not content_type:
        detail = "this request needs a body: JSON, or bytes with their own Content-Type"
        raise Invalid(f"The body: {detail}.", Fault("", detail))
    if content_type.partition(";")[0].strip().lower() == JSON_TYPE:
        given = await request.json()
        return await aside(len(body), partial(_read_set, key, given, limit))
    if not is_content_type(content_type):
        raise HTTPException(
            415,
            'Send the header Content-Type: application/json for {"value": …}, else the type of the bytes.',
        )
    value = encode_as(content_type, key, body, limit)
    return Set(key, value, _duration(ttl), content_type)


def _read_set(key: str, body: Any, limit: int) -> Set:
    given = validated(KvIn, body)
    return Set(key, encode(key, given.value, limit), given.ttl)


def send_value(entry: KvEntry, tag: str) -> Response:
    """Return the response with an entry: JSON with its fields, other bytes as they were written."""
    if entry.content_type == JSON_TYPE:
        return send(reply(200, show_entry(entry), {"etag": tag}))
    # So that no browser interprets the bytes as a page of this service.
    guards = {"x-content-type-options": "nosniff", "content-security-policy": "sandbox"}
    return Response(entry.value, headers={"etag": tag, **guards}, media_type=entry.content_type)


def _duration(given: str | None) -> Any:
    if given is None:
        return None
    try:
        return _TTL.validate_python(given)
    except ValidationError as error:
        detail = word(error.errors(include_url=False)[:1], Place(""))
        raise invalid_parameter("ttl", detail, "invalid") from None
