from typing import Any

import pytest
from pydantic import ValidationError

from rota.domain.http_target.auth import OAuth2Auth, servers_of
from rota.domain.http_target.target import Target, redact

BEARER = {"type": "bearer", "token": "{{ secret.crm }}"}
BASIC = {"type": "basic", "username": "rota", "password": "{{ secret.crm }}"}
OAUTH = {
    "type": "oauth2",
    "token_url": "https://id.example.com/token",
    "client_id": "rota",
    "client_secret": "{{ secret.crm }}",
}


def _target(auth: Any, **fields: Any) -> Target:
    return Target.model_validate({"url": "https://app.example.com/", "auth": auth} | fields)


def _faults(auth: Any, **fields: Any) -> list[tuple[Any, str]]:
    with pytest.raises(ValidationError) as refused:
        _target(auth, **fields)
    return [(each["loc"], each["msg"]) for each in refused.value.errors()]


@pytest.mark.parametrize(
    "auth",
    [
        BEARER,
        BEARER | {"token": "{{ input.token }}"},
        BEARER | {"token": "pat-{{ secret.crm }}"},
        BASIC,
        BASIC | {"username": "{{ secret.key }}", "password": ""},
        BASIC | {"username": "Jürgen"},
        BASIC | {"username": '{{ input["a:b"] }}'},
        OAUTH,
        OAUTH | {"scope": "a b", "audience": "https://app.example.com", "client_auth": "post"},
        OAUTH | {"token_url": "http://127.0.0.1:8080/token?tenant=1"},
    ],
)  # fmt: skip
def test_what_can_authorize_requests_is_shown_as_it_was_given(auth: dict[str, str]) -> None:
    shown = redact(_target(auth)).model_dump(mode="json")["auth"]

    assert auth.items() <= shown.items()


@pytest.mark.parametrize(
    ("auth", "field"),
    [
        (BEARER | {"token": "sk_live_123"}, "token"),
        (BEARER | {"token": ""}, "token"),
        (BEARER | {"token": '{{ "sk_live_123" }}'}, "token"),
        (BEARER | {"token": "sk_live_123{{ run.id }}"}, "token"),
        (BEARER | {"token": "{{ secret }}"}, "token"),
        (BEARER | {"token": "{{ secret.crm.x }}"}, "token"),
        (BEARER | {"token": "{{ secret.crm"}, "token"),
        (BEARER | {"token": "{{ result.body }}"}, "token"),
        (BEARER | {"token": "{{ secret.crm }}\n"}, "token"),
        (BEARER | {"token": "{{ secret.crm }}" + "x" * 4_096}, "token"),
        (BASIC | {"password": "hunter2"}, "password"),
        (BASIC | {"username": "a:b"}, "username"),
        (BASIC | {"username": "a\x00"}, "username"),
        (OAUTH | {"client_secret": "hunter2"}, "client_secret"),
        (OAUTH | {"client_id": ""}, "client_id"),
        (OAUTH | {"scope": ""}, "scope"),
        (OAUTH | {"client_auth": "jwt"}, "client_auth"),
        (OAUTH | {"token_url": "id.example.com/token"}, "token_url"),
        (OAUTH | {"token_url": "https://u:p@id.example.com/token"}, "token_url"),
        (OAUTH | {"token_url": "https://id.example.com/token#x"}, "token_url"),
        (OAUTH | {"token_url": "https://id.example.com/{{ input.x }}"}, "token_url"),
        (OAUTH | {"token_url": "https://{{ input.x }}/"}, "token_url"),
        (BEARER | {"username": "x"}, "username"),
    ],
)
def test_what_cannot_authorize_requests_is_refused_where_it_is(
    auth: dict[str, str], field: str
) -> None:
    ((place, _),) = _faults(auth)

    assert place == ("auth", auth["type"], field)


@pytest.mark.parametrize("auth", [{"type": "digest"}, {}, {"token": "{{ secret.crm }}"}])
def test_auth_of_no_known_type_is_refused(auth: dict[str, str]) -> None:
    assert _faults(auth)[0][0] == ("auth",)


def test_a_credential_in_plain_is_refused_without_being_repeated_and_says_where_to_store_it() -> (
    None
):
    ((_, message),) = _faults(BEARER | {"token": "sk_live_123"})

    assert "PUT /v1/secrets/" in message
    assert "sk_live" not in message


@pytest.mark.parametrize("name", ["Authorization", "AUTHORIZATION"])
def test_auth_and_a_header_that_it_sets_are_refused_together(name: str) -> None:
    ((place, message),) = _faults(BEARER, headers={name: "Bearer x"})

    assert place == ("auth",)
    assert f"'auth' sets the header '{name}'" in message


def test_entries_in_auth_must_be_asked_for() -> None:
    auth = BEARER | {"token": "{{ kv.token }}"}

    assert "'token' is not among the keys in 'kv'" in _faults(auth)[0][1]
    assert _target(auth, kv=["token"]).auth is not None


def test_the_secrets_of_oauth_are_for_the_authorization_server_and_for_the_target() -> None:
    oauth = _target(OAUTH).auth
    bearer = _target(BEARER).auth
    assert isinstance(oauth, OAuth2Auth)
    assert bearer is not None

    url = "https://app.example.com/"
    assert servers_of(oauth, url) == ("https://id.example.com/token", url)
    assert servers_of(bearer, url) == (url,)
