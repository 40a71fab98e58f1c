"""Targets: the request that the built-in `http` handler makes."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    StringConstraints,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)
from pydantic_core import PydanticCustomError

from rota.domain.http_target.kv_references import (
    KvAsked,
    KvSet,
    check_asked,
    check_number,
    check_request_template,
)
from rota.domain.primitives.bounds import DEFAULT_CALL_TIMEOUT, is_stored
from rota.domain.primitives.durations import Duration
from rota.domain.primitives.sealed import PREFIX, SealedText
from rota.domain.primitives.urls import has_credentials, is_http_url

REDACTED = "[redacted]"
#: The one member of the object that a sealed header is in a stored definition; a header that is given is a text.
SEALED = "sealed"

_SECRET_HEADER = re.compile(
    r"auth(?!ors?\b)|cookie|key|token|secret|signature|passw|\bpass|credential|session",
    re.IGNORECASE,
)
_HEADER_NAME = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$"
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
# What the client sets itself: a caller's own value would break the framing of the request.
_OWN_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection"})
_RETRY_CODES = (408, 409, 425, 429)


def _check_url(url: str) -> str:
    if not is_http_url(url):
        raise PydanticCustomError(
            "url", "give an absolute http or https URL, such as 'https://app.example.com/jobs'"
        )
    if has_credentials(url):
        raise PydanticCustomError("url", "put credentials into a header, not into the URL")
    return url


def _check_code(code: int | str) -> int | str:
    text = str(code)
    if not re.fullmatch(r"[1-5](\d\d|xx)", text):
        raise PydanticCustomError("code", "give a status code (204) or a class of them ('2xx')")
    return code


Code = Annotated[StrictInt | StrictStr, AfterValidator(_check_code)]


class Target(BaseModel):
    """The request of an `http` task; the task's `input` is its body unless `body` is given.

    With `kv`, texts in `headers`, `query` and `body` are templates, and a body that is not given has the entries, too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)

    url: Annotated[str, StringConstraints(max_length=8_000), AfterValidator(_check_url)] = Field(
        examples=["https://app.example.com/jobs/digest"]
    )
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    kv: KvAsked = ()  # before what is checked against it
    headers: dict[Annotated[str, StringConstraints(pattern=_HEADER_NAME)], str] = Field(
        default_factory=dict,
        max_length=64,
        description="Values of headers whose names look secret are never returned.",
    )
    query: dict[str, StrictStr | StrictInt | StrictFloat | StrictBool] = Field(
        default_factory=dict, max_length=64
    )
    body: Any = Field(
        None,
        description="JSON; without it the task's `input` is sent, with `kv` as one member of "
        '`{"input", "kv", "run"}`.',
    )
    async_: bool = Field(
        default=False,
        alias="async",
        strict=True,
        description="A 202 means later: the target reports the outcome by `POST /v1/runs/{id}/complete`, with the "
        "attempt's token from the header `X-Rota-Token` of the request.",
        examples=[True],
    )
    timeout: Duration = Field(
        DEFAULT_CALL_TIMEOUT,
        description="For the whole call. Left out beside a `timeout` of the task: as much as that.",
    )
    success_codes: tuple[Code, ...] = Field(("2xx",), min_length=1, max_length=64)
    retry_codes: tuple[Code, ...] = Field((*_RETRY_CODES, "5xx"), max_length=64)
    kv_set: KvSet = Field(default_factory=dict)

    @field_validator("headers")
    @classmethod
    def _headers_can_be_sent(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if name.lower() in _OWN_HEADERS:
                raise PydanticCustomError(
                    "header", "'{name}' is set by Rota itself", {"name": name}
                )
            if not can_be_sent(value):
                raise PydanticCustomError(
                    "header", "the value of '{name}' cannot be sent", {"name": name}
                )
        return headers

    @field_validator("headers", "query", "body")
    @classmethod
    def _templates_can_be_filled_in(cls, given: Any, info: ValidationInfo) -> Any:
        asked = info.data.get("kv", ())
        if asked:  # otherwise braces are braces
            check_request_template(given, asked)
        return given

    # The last one of the headers', so that the others do not see what is sealed.
    @field_validator("headers", mode="wrap")
    @classmethod
    def _stored_ones_may_be_sealed(
        cls, given: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> dict[str, str]:
        sealed = _sealed_among(given) if is_stored(info) and isinstance(given, dict) else {}
        read: dict[str, str] = handler(given | dict.fromkeys(sealed, "") if sealed else given)
        return {name: sealed.get(name, value) for name, value in read.items()} if sealed else read

    @field_validator("kv_set")
    @classmethod
    def _entries_are_asked_for(cls, given: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        check_number(given)  # of all of them together
        check_asked(given, info.data.get("kv", ()))
        return given

    @field_validator("timeout")
    @classmethod
    def _takes_time(cls, timeout: timedelta) -> timedelta:
        if not timeout:
            raise PydanticCustomError("timeout", "a call needs a timeout above 0")
        return timeout

    @property
    def has_sealed_headers(self) -> bool:
        """Tell whether some headers are as the row has them, and cannot be sent."""
        return any(isinstance(value, SealedText) for value in self.headers.values())


def can_be_sent(value: str) -> bool:
    """Return whether a text can be the value of a header."""
    return _HEADER_VALUE.fullmatch(value) is not None


def code_matches(codes: tuple[Code, ...], status: int) -> bool:
    """Return whether `status` is one of the codes, or in a class among them (`"2xx"`)."""
    return any(str(code) in {str(status), f"{status // 100}xx"} for code in codes)


def looks_secret(header: str) -> bool:
    """Return whether the value of a header must never be shown."""
    return _SECRET_HEADER.search(header) is not None


def redact(target: Target) -> Target:
    """Return the target as it may be shown."""
    shown = {
        name: REDACTED if looks_secret(name) or isinstance(value, SealedText) else value
        for name, value in target.headers.items()
    }
    return target.model_copy(update={"headers": shown})


def restore(target: Target, stored: Target | None) -> Target:
    """Put stored secrets where `redact` took them out, so that what was read can be sent back.

    Raises KeyError with the name of a header that is not stored, or is stored for another server: a secret must not be
    sent there.
    """
    known = stored.headers if stored and origin_of(stored.url) == origin_of(target.url) else {}
    kept = {
        name: known[name] if value == REDACTED else value for name, value in target.headers.items()
    }
    return target.model_copy(update={"headers": kept})


def origin_of(url: str) -> tuple[str, str | None, int | None]:
    """Return the server of a URL: scheme, host and port."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def stored_header(value: str) -> Any:
    """Return a header as the text of a stored definition has it: a sealed one cannot be taken for another."""
    return {SEALED: value.removeprefix(PREFIX)} if isinstance(value, SealedText) else value


def read_sealed(stored: Any) -> SealedText | None:
    """Return a header of a stored definition if it is a sealed one."""
    if isinstance(stored, dict) and isinstance(stored.get(SEALED), str):
        return SealedText(PREFIX + stored[SEALED])
    return None


def _sealed_among(headers: Mapping[str, Any]) -> dict[str, SealedText]:
    read = ((name, read_sealed(value)) for name, value in headers.items())
    return {name: value for name, value in read if value is not None}
