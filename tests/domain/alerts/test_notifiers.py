"""Inputs of notifiers: addresses, and the named secrets that they refer to."""

from typing import Any

import pytest

from rota.domain.alerts.notifiers import (
    EMAIL,
    SLACK,
    WEBHOOK,
    secret_names_of,
    secret_uses_of,
    split_sender,
)
from rota.domain.http_target.secret_references import SecretUse


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ("rota@example.com", ("", "rota@example.com")),
        ("Rota <rota@example.com>", ("Rota", "rota@example.com")),
        (" Rota, of é <a.b+c@x-y.example> ", ("Rota, of é", "a.b+c@x-y.example")),
        ("<a@localhost>", ("", "a@localhost")),
    ],
)
def test_a_sender_is_an_address_with_or_without_a_name(given: str, parts: Any) -> None:
    assert split_sender(given) == parts


@pytest.mark.parametrize(
    "given",
    [
        "",
        "rota",
        "@example.com",
        "a@b@c",
        "a..b@example.com",
        "a@-b.example",
        "a@b>",
        "x <a@b",
        "x\r\nBcc: y@z <a@b>",
        "<a@b> <c@d>",
        '"x <a@b>',
        "=?utf-8?q?x?= <a@b>",
        "é@example.com",
        "a@" + "b" * 64,
        "a@" + "b." * 130 + "c",
    ],
)
def test_what_is_no_address_is_refused_as_a_sender(given: str) -> None:
    with pytest.raises(ValueError, match="give an e-mail address"):
        split_sender(given)


def test_only_hooks_refer_to_secrets() -> None:
    named = {"url_secret": "hook", "signature": {"secret": "signing"}}
    signed = {"url": "https://a.example/x", "signature": {"secret": "signing"}}

    assert secret_uses_of(SLACK, named) == [SecretUse("hook", "/url_secret", None)]
    assert secret_uses_of(WEBHOOK, signed) == [
        SecretUse("signing", "/signature/secret", "https://a.example")
    ]
    assert secret_names_of(WEBHOOK, '{"url_secret":"a","signature":{"secret":"a"}}') == ("a",)
    for handler in (EMAIL, "http", "own"):
        assert secret_uses_of(handler, named) == []
    odd_ones: list[Any] = [
        None,
        [],
        "x",
        {"url_secret": 5, "signature": {"secret": None}},
        {"signature": 1},
    ]
    for odd in odd_ones:
        assert secret_uses_of(WEBHOOK, odd) == []
    assert secret_names_of(SLACK, "no JSON") == ()
