"""Authentication of a target's requests: a bearer token, a user with a password, or OAuth 2 client credentials.

What is secret in it is never written in it: it is a reference to a named secret, or to the run's input. So a target can
be shown as it was given.
"""

import re
from collections.abc import Collection, Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationInfo
from pydantic_core import PydanticCustomError

from rota.domain.hosts.spelling import fault_of_host
from rota.domain.http_target.kv_references import AskedKeys
from rota.domain.http_target.templates.filling import Reference, TemplateError, references
from rota.domain.primitives.bounds import is_stored
from rota.domain.primitives.texts.urls import has_credentials, is_http_url

#: What references in `auth` may begin with.
AUTH_ROOTS = ("secret", "input", "kv", "task", "run", "scheduled_for")

# Where a value can come from that is not stored in the definition.
_KEPT_ELSEWHERE = frozenset({"secret", "input", "kv"})
_OPENS = "{{"
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


def _check_text(text: str) -> str:
    for reference in _references_in(text):
        root = reference.path[0]
        if root not in AUTH_ROOTS:
            raise _wrong(f"'{reference}' begins with none of {', '.join(AUTH_ROOTS)}")
        if root == "secret" and len(reference.path) != 2:
            raise _wrong("a reference to a secret names one: '{{ secret.crm }}'")
    if _CONTROLS.search(text):
        raise _wrong("it has control characters, such as a line break, which cannot be sent")
    return text


def _check_credential(text: str) -> str:
    roots = {reference.path[0] for reference in _references_in(text)}
    if not roots & _KEPT_ELSEWHERE:
        raise _wrong(
            "a credential is not written into a task, where it could be read: store it with PUT /v1/secrets/crm and "
            "refer to it as '{{ secret.crm }}', or pass it as '{{ input.token }}' with the input, and set secret_input"
        )
    return text


def _check_password(text: str) -> str:
    return _check_credential(text) if text else text


def _check_user(text: str) -> str:
    if ":" in _literal_of(text):
        raise _wrong("a user name cannot have a colon, which ends it (RFC 7617)")
    return text


def _check_token_url(url: str, info: ValidationInfo) -> str:
    if not is_http_url(url) or "#" in url:
        raise _wrong(
            "give an absolute http or https URL without a fragment, such as 'https://id.example.com/oauth2/token'"
        )
    if has_credentials(url):
        raise _wrong("credentials belong into client_id and client_secret, not into the URL")
    if _OPENS in url:
        raise _wrong("the token URL is never filled in: give it as it is")
    fault = None if is_stored(info) else fault_of_host(url)
    if fault is not None:
        raise _wrong(fault)
    return url


_Text = Annotated[str, StringConstraints(max_length=4_096), AfterValidator(_check_text)]
_Given = Annotated[
    str, StringConstraints(min_length=1, max_length=4_096), AfterValidator(_check_text)
]
_Credential = Annotated[_Given, AfterValidator(_check_credential)]


class BearerAuth(BaseModel):
    """`Authorization: Bearer <token>` (RFC 6750)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["bearer"] = Field(description="A token.", examples=["bearer"])
    token: _Credential = Field(
        description="A reference to where the token is kept; a token itself is refused.",
        examples=["{{ secret.crm }}"],
    )


class BasicAuth(BaseModel):
    """`Authorization: Basic <base64 of username:password>` in UTF-8 (RFC 7617)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["basic"] = Field(description="A user name and a password.", examples=["basic"])
    username: Annotated[_Text, AfterValidator(_check_user)] = Field(
        description="May be written as it is, or have references. It has no colon.",
        examples=["rota", "{{ secret.billing_key }}"],
    )
    password: Annotated[_Text, AfterValidator(_check_password)] = Field(
        description="A reference to where the password is kept, or empty, as where the user name is an API key; "
        "a password itself is refused.",
        examples=["{{ secret.crm }}"],
    )


class OAuth2Auth(BaseModel):
    """A bearer token from an authorization server, by the client's own credentials (RFC 6749, section 4.4)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["oauth2"] = Field(
        description="OAuth 2 client credentials. The token is kept until shortly before it expires.",
        examples=["oauth2"],
    )
    token_url: Annotated[
        str, StringConstraints(max_length=2_000), AfterValidator(_check_token_url)
    ] = Field(
        description="Where tokens are issued. The secret that `client_secret` names is sent to this server, and must "
        "be allowed for it. Redirects are not followed.",
        examples=["https://id.example.com/oauth2/token"],
    )
    client_id: _Given = Field(
        description="The id of the client at the authorization server.", examples=["rota"]
    )
    client_secret: _Credential = Field(
        description="A reference to where the client's secret is kept; a secret itself is refused.",
        examples=["{{ secret.crm_client }}"],
    )
    scope: _Given | None = Field(
        None,
        description="What is asked for: names with a space between them.",
        examples=["jobs.write jobs.read"],
    )
    audience: _Given | None = Field(
        None,
        description="The `audience` parameter, which some servers need.",
        examples=["https://app.example.com"],
    )
    client_auth: Literal["basic", "post"] = Field(
        "basic",
        description="How the client identifies itself: by HTTP Basic, or by `client_id` and `client_secret` in the "
        "form (RFC 6749, section 2.3.1).",
        examples=["basic"],
    )


Auth = Annotated[
    BearerAuth | BasicAuth | OAuth2Auth,
    Field(
        discriminator="type",
        description="How requests are authorized. Secrets in it are references, so it is shown as it was given. "
        "It takes the place of an `Authorization` header.",
        examples=[{"type": "bearer", "token": "{{ secret.crm }}"}],
    ),
]


def check_beside(auth: Auth, headers: Collection[str], asked: Collection[str]) -> None:
    """Raise PydanticCustomError if `auth` does not fit to the headers, or to the entries that are asked for."""
    for name in headers:
        if name.lower() == "authorization":
            raise _wrong(f"'auth' sets the header '{name}': leave it out of 'headers', or 'auth'")
    known = AskedKeys(asked)
    for path in (each.path for text in texts_of(auth).values() for each in references(text)):
        if path[0] == "kv" and len(path) > 1 and str(path[1]) not in known:
            raise _wrong(f"{path[1]!r} is not among the keys in 'kv'")


def texts_of(auth: Auth | None) -> dict[str, str]:
    """Return the texts of `auth` that may have references, by field."""
    if auth is None:
        return {}
    fields = auth.model_dump(exclude={"type", "token_url", "client_auth"}, exclude_none=True)
    return {name: str(text) for name, text in fields.items()}


def servers_of(auth: Auth, url: str) -> tuple[str, ...]:
    """Return the URLs of the servers that the secrets in `auth` are for, where the target has this `url`.

    With OAuth these are two: one gets the secret, and the other the token that the secret is exchanged for.
    """
    return (auth.token_url, url) if isinstance(auth, OAuth2Auth) else (url,)


def _references_in(text: str) -> Iterator[Reference]:
    try:
        yield from references(text)
    except TemplateError as error:
        raise _wrong(str(error)) from None


def _literal_of(text: str) -> str:
    """Return what a text has outside of references."""
    return re.sub(r"\{\{.*?\}\}", "", text, flags=re.DOTALL)


def _wrong(message: str) -> PydanticCustomError:
    return PydanticCustomError("auth", "{message}", {"message": message})
