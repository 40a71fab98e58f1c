"""Which secrets a target refers to, where, and to which servers they are sent."""

from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel

from rota.domain.http_target.secret_references import (
    SecretUse,
    is_by_reference,
    secret_uses,
)
from rota.domain.http_target.target import Target, redact

HOME = "https://api.example.com"
LOGIN = "https://login.example.com"


class Auth(BaseModel):
    """As the models of `target.auth` are: fields that are texts."""

    type: str
    token_url: str | None = None
    client_secret: str | None = None
    password: str | None = None


def of(**fields: Any) -> Any:
    return SimpleNamespace(url=f"{HOME}/jobs", headers={}, **fields)


def test_references_in_headers_are_found_with_their_pointers() -> None:
    headers = {
        "X-A": "a {{ secret.one }} {{secret.two}} {{ secret.one }}",
        "X-B~": "{{ secret.two }}",
        "X-C": "{{ input.x }}",
    }
    target = Target(url=f"{HOME}/jobs", headers=headers)

    assert target.secret_uses == [
        SecretUse("one", "/headers/X-A", HOME),
        SecretUse("two", "/headers/X-A", HOME),
        SecretUse("two", "/headers/X-B~0", HOME),
    ]
    assert target.secret_names == ("one", "two")
    assert Target(url=HOME).secret_names == ()


def test_what_is_given_for_an_oauth_secret_goes_to_the_target_too() -> None:
    auth = Auth(type="oauth2", token_url=f"{LOGIN}/token", client_secret="{{ secret.client }}")

    assert secret_uses(of(auth=auth)) == [
        SecretUse("client", "/auth/client_secret", LOGIN),
        SecretUse("client", "/auth/client_secret", HOME),
    ]


def test_a_password_goes_to_the_target_and_a_signature_is_for_it() -> None:
    target = of(auth=Auth(type="basic", password="{{ secret.door }}"), signature={"secret": "hook"})

    assert secret_uses(target) == [
        SecretUse("door", "/auth/password", HOME),
        SecretUse("hook", "/signature/secret", HOME),
    ]


def test_a_reference_to_all_secrets_names_none_that_exists() -> None:
    assert [use.name for use in secret_uses(of(auth={"token": "{{ secret }}"}))] == [""]


@pytest.mark.parametrize(
    ("value", "is_one"),
    [
        ("{{ secret.crm }}", True),
        ("Bearer {{secret.crm}}", True),
        ("Bearer hunter2 {{ secret.crm }}", False),
        ("hunter2{{ secret.crm }}", False),
        ("{{ secret.crm }}hunter2", False),
        ('{{ secret.crm | default("hunter2") }}', False),
        ("{{ input.token }}", False),
        ("Bearer hunter2", False),
    ],
)
def test_only_what_has_nothing_secret_in_it_is_shown(value: str, is_one: bool) -> None:
    assert is_by_reference(value) is is_one

    if "|" not in value:
        shown = redact(Target(url=HOME, headers={"Authorization": value}))
        assert shown.headers == {"Authorization": value if is_one else "[redacted]"}
