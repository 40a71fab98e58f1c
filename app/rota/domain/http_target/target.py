"""Targets: the request that the built-in `http` handler makes."""

import re
from collections.abc import Iterator
from datetime import timedelta
from functools import cached_property
from typing import Annotated, Any, Literal, Self
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
    model_validator,
)
from pydantic_core import PydanticCustomError

from rota.domain.http_target.auth import Auth, check_beside, texts_of
from rota.domain.http_target.body_formats import BodyFormat, faults_in_body
from rota.domain.http_target.kv_references import KvAsked, KvSet
from rota.domain.http_target.refusals import Fault, refuse_if_any
from rota.domain.http_target.request_headers import faults_in_headers
from rota.domain.http_target.secret_headers import REDACTED, is_secret, sealed_among
from rota.domain.http_target.secret_references import SecretUse, secret_uses
from rota.domain.http_target.signature import Signature
from rota.domain.http_target.templates.checks import Place, check_templates
from rota.domain.http_target.templates.grammar import texts
from rota.domain.http_target.templates.urls import MOST_URL, fault_in_url
from rota.domain.primitives.bounds import DEFAULT_CALL_TIMEOUT, is_stored
from rota.domain.primitives.texts.sealed import SealedText
from rota.domain.primitives.times.durations import Duration

_HEADER_NAME = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$"
#: Methods whose requests have a body only if the target has one.
WITHOUT_BODY = frozenset({"GET", "HEAD", "DELETE"})
_RETRY_CODES = (408, 409, 425, 429)


def _check_url(url: str, info: ValidationInfo) -> str:
    fault = None if is_stored(info) else fault_in_url(url)
    if fault is not None:
        raise PydanticCustomError("url", "{message}", {"message": fault})
    return url


def _check_code(code: int | str) -> int | str:
    text = str(code)
    if not re.fullmatch(r"[1-5](\d\d|xx)", text):
        raise PydanticCustomError("code", "give a status code (204) or a class of them ('2xx')")
    return code


Code = Annotated[StrictInt | StrictStr, AfterValidator(_check_code)]


class Target(BaseModel):
    """The request of an `http` task; the task's `input` is its body unless `body` is given.

    Texts with `{{` in `url`, `headers`, `query`, `body` and `kv_set` are templates. With `kv`, a body that is not given
    has the entries, too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)

    url: Annotated[str, StringConstraints(max_length=MOST_URL), AfterValidator(_check_url)] = Field(
        description="References such as `{{ input.id }}` may be in its path and its query; each value is "
        "percent-encoded as one segment.",
        examples=[
            "https://app.example.com/jobs/digest",
            "https://app.example.com/users/{{ input.id }}",
        ],
    )
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = Field(
        "POST",
        description="`GET`, `HEAD` and `DELETE` have a body only if `body` is given.",
        examples=["PUT"],
    )
    kv: KvAsked = ()
    headers: dict[Annotated[str, StringConstraints(pattern=_HEADER_NAME)], str] = Field(
        default_factory=dict,
        max_length=64,
        description="Values of headers whose names look secret are never returned. Those that Rota or the connection "
        "sets (`Host`, `Connection`, `webhook-*`, `X-Rota-*`, `traceparent` …) cannot be given.",
        examples=[
            {"X-Customer": "{{ input.customer }}", "Authorization": "Bearer {{ secret.crm }}"}
        ],
    )
    query: dict[str, StrictStr | StrictInt | StrictFloat | StrictBool] = Field(
        default_factory=dict,
        max_length=64,
        description="Parameters, appended to the query of `url`.",
        examples=[{"since": "{{ kv.cursor }}", "limit": 100}],
    )
    body: Any = Field(
        None,
        description="JSON; without it the task's `input` is sent, with `kv` as one field of "
        '`{"input", "kv", "run"}`.',
        examples=[{"customer": "{{ input.customer }}", "since": "{{ kv.cursor }}"}],
    )
    body_format: BodyFormat = Field(
        BodyFormat.JSON,
        description="How the body is written: `json` (a text as it is if `headers` declare another content type), "
        "`text`, `form` (an object, as `application/x-www-form-urlencoded`), or `bytes` (a text in base64).",
        examples=["form"],
    )
    auth: Auth | None = None
    signature: Signature | None = Field(
        None,
        description="Signs each request as Standard Webhooks 1.0.0 says, over the bytes of its body: `webhook-id` (the "
        "id of the run), `webhook-timestamp` and `webhook-signature`.",
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
        description="For the whole call. Left out beside a `timeout` of the task: as much as that; with `async`, "
        "where it ends with the 202, 30 s at most.",
    )
    follow_redirects: Annotated[StrictInt, Field(ge=0, le=5)] = Field(
        0,
        description="How many redirects are followed. To another server only the request without the task's headers "
        "goes, and never a body; never from https to http. None with `async`.",
        examples=[3],
    )
    success_codes: tuple[Code, ...] = Field(
        ("2xx",),
        min_length=1,
        max_length=64,
        description="Statuses, and classes of them, with which the run has succeeded.",
        examples=[["2xx", 304]],
    )
    retry_codes: tuple[Code, ...] = Field(
        (*_RETRY_CODES, "5xx"),
        max_length=64,
        description="Statuses, and classes of them, with which the run is tried again; others fail it.",
        examples=[[429, "5xx"]],
    )
    kv_set: KvSet = Field(default_factory=dict)

    @field_validator("headers")
    @classmethod
    def _headers_can_be_sent(cls, headers: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        if not is_stored(info):
            refuse_if_any(faults_in_headers(headers))
        return headers

    @field_validator("auth")
    @classmethod
    def _auth_stands_alone(cls, auth: Auth | None, info: ValidationInfo) -> Auth | None:
        if auth is not None:
            check_beside(auth, info.data.get("headers", ()), info.data.get("kv", ()))
        return auth

    # The last one of the headers', so that the others do not see what is sealed.
    @field_validator("headers", mode="wrap")
    @classmethod
    def _stored_ones_may_be_sealed(
        cls, given: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> dict[str, str]:
        sealed = sealed_among(given) if is_stored(info) and isinstance(given, dict) else {}
        read: dict[str, str] = handler(given | dict.fromkeys(sealed, "") if sealed else given)
        return {name: sealed.get(name, value) for name, value in read.items()} if sealed else read

    @field_validator("timeout")
    @classmethod
    def _takes_time(cls, timeout: timedelta) -> timedelta:
        if not timeout:
            raise PydanticCustomError("timeout", "a call needs a timeout above 0")
        return timeout

    @model_validator(mode="after")
    def _templates_can_be_filled_in(self, info: ValidationInfo) -> Self:
        # A stored text with braces may be older than its being a template: then its run says what is wrong with it.
        if not is_stored(info):
            given = {place: getattr(self, place) for place in Place}
            check_templates(given | {Place.AUTH: texts_of(self.auth)}, self.kv)
        return self

    @model_validator(mode="after")
    def _fields_fit_each_other(self, info: ValidationInfo) -> Self:
        if not is_stored(info):
            refuse_if_any([*_faults_in_body(self), *_faults_in_redirects(self)])
        return self

    @cached_property
    def has_body_template(self) -> bool:
        """Whether the body has references, so that it is not the same at each run."""
        return next(texts(self.body), None) is not None

    @property
    def sends_input(self) -> bool:
        """Whether the input is the body, and nothing beside it."""
        return self.body is None and not self.kv and self.method not in WITHOUT_BODY

    @property
    def has_entries_in_body(self) -> bool:
        """Whether the body is the input with the run and the entries that the target asks for."""
        return self.body is None and bool(self.kv) and self.method not in WITHOUT_BODY

    @property
    def has_sealed_headers(self) -> bool:
        """Return whether some headers are as the row has them, and cannot be sent."""
        return any(isinstance(value, SealedText) for value in self.headers.values())

    @property
    def secret_uses(self) -> list[SecretUse]:
        """Its references to named secrets."""
        return secret_uses(self)

    @property
    def secret_names(self) -> tuple[str, ...]:
        """The named secrets that it refers to, each once."""
        return tuple(dict.fromkeys(use.name for use in self.secret_uses))


def check_input(target: Target, given: Any) -> None:
    """Raise ValidationError for an input that is the body, and that its format cannot have."""
    if target.sends_input:
        found = faults_in_body(target.body_format, given)
        refuse_if_any((("input", *path), message) for path, message in found)


def _faults_in_body(target: Target) -> Iterator[Fault]:
    if target.body is not None:
        for path, message in faults_in_body(target.body_format, target.body, template=True):
            yield ("body", *path), message
    elif target.has_entries_in_body and target.body_format is not BodyFormat.JSON:
        message = "with 'kv' and without a 'body' the request carries JSON; give a 'body' with what it needs"
        yield ("body_format",), message


def _faults_in_redirects(target: Target) -> Iterator[Fault]:
    if target.async_ and target.follow_redirects:
        message = (
            "with 'async' no redirect is followed, since the token is for the server that is called: "
            "leave it out, and give the URL of that server"
        )
        yield ("follow_redirects",), message


def code_matches(codes: tuple[Code, ...], status: int) -> bool:
    """Return whether `status` is one of the codes, or in a class among them (`"2xx"`)."""
    return any(str(code) in {str(status), f"{status // 100}xx"} for code in codes)


def redact(target: Target) -> Target:
    """Return the target as it may be shown."""
    shown = {
        name: REDACTED if is_secret(name, value) or isinstance(value, SealedText) else value
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
