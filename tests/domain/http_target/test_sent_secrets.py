"""Which texts of a request are secret: what nobody may say back."""

from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import pytest

from rota.domain.http_target.sent_secrets import entries_needed, filled_in
from rota.domain.http_target.target import Target
from rota.domain.http_target.templates.scope import Scope, scope_of_run
from rota.domain.primitives.ids import random_id
from rota.domain.primitives.texts.sealed import SealedText

URL = "https://api.example.com/jobs"
CRM, OF_INPUT, OF_KV = "hunter1-and-more", "hunter2-and-more", "hunter3-and-more"


def scope() -> Scope:
    attempt = scope_of_run(
        id=random_id(),
        attempt=1,
        failures=0,
        trigger="manual",
        task="t",
        task_id=random_id(),
        scheduled_for=datetime(2026, 11, 29, tzinfo=UTC),
        input={"token": OF_INPUT},
        kv={"key": OF_KV, "gone": None},
    )
    return {**attempt, "secret": {"crm": CRM}}


def target(headers: dict[str, str] | None = None, auth: dict[str, Any] | None = None) -> Target:
    given = {"url": URL, "headers": headers or {}, "auth": auth, "kv": ["key", "gone"]}
    return Target.model_validate(given)


def secrets(**given: Any) -> set[str]:
    return set(filter(None, filled_in(target(**given), scope())))


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({"Authorization": "Bearer {{ secret.crm }}"}, {CRM}),
        ({"X-Api-Key": "{{ input.token }}"}, {OF_INPUT}),
        ({"X-Api-Key": "{{ kv.key }}"}, {OF_KV}),
        ({"X-Api-Key": "{{ input.token }}.{{ task.name }}"}, {f"{OF_INPUT}.t"}),
        ({"X-Token": "as-it-is-written"}, {"as-it-is-written"}),
        ({"X-Token": "{{ input.gone }}"}, set()),
        ({"X-Token": "{{ kv.gone }}"}, set()),
        ({"X-Customer": "{{ input.token }}", "Idempotency-Key": "{{ input.token }}"}, set()),
    ],
)
def test_what_secret_headers_come_to_is_secret(headers: dict[str, str], found: set[str]) -> None:
    assert secrets(headers=headers) == found


@pytest.mark.parametrize(
    ("auth", "found"),
    [
        ({"type": "bearer", "token": "{{ input.token }}"}, {OF_INPUT}),
        (
            {"type": "basic", "username": "rota", "password": "{{ secret.crm }}"},
            {CRM, b64encode(f"rota:{CRM}".encode()).decode()},
        ),
        (
            {"type": "basic", "username": "{{ input.token }}", "password": ""},
            {b64encode(f"{OF_INPUT}:".encode()).decode()},
        ),
        (
            {
                "type": "oauth2",
                "token_url": "https://id.example.com/token",
                "client_id": "rota",
                "client_secret": "{{ secret.crm }}",
            },
            {CRM},
        ),
    ],
    ids=["bearer", "basic", "user", "oauth2"],
)
def test_what_authorizes_a_request_is_secret(auth: dict[str, Any], found: set[str]) -> None:
    assert secrets(auth=auth) == found


def test_a_header_that_does_not_open_was_not_sent() -> None:
    sealed = target().model_copy(update={"headers": {"X-Api-Key": SealedText("sealed:k1:AAAA")}})

    assert list(filled_in(sealed, scope())) == []


def test_the_entries_that_secrets_need_are_those_of_secret_headers_and_of_auth() -> None:
    given = target(
        {"X-Api-Key": "{{ kv.key }}", "X-Page": "{{ kv.gone }}"},
        None,
    )
    with_auth = target(auth={"type": "bearer", "token": "{{ kv.gone }}"})

    assert (entries_needed(given), entries_needed(with_auth)) == ({"key"}, {"gone"})
