"""Bodies in other formats than JSON."""

import json
from typing import Any

import pytest

from rota.domain.runs.errors import RunError
from tests.handlers.bench import Bench
from tests.handlers.http.kv_calls import call, error, sent
from tests.handlers.target import Site

FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("fields", "content_type", "body"),
    [
        ({"body_format": "text", "body": "M\xfcller"}, "text/plain; charset=utf-8", "M\xfcller"),
        (
            {"body_format": "text", "body": "n={{ input.kind }} {{ input | json }}"},
            "text/plain; charset=utf-8",
            'n=1 {"kind":1}',
        ),
        ({"body_format": "text", "body": "{{ input.kind }}"}, "text/plain; charset=utf-8", "1"),
        ({"body_format": "form", "body": {"a": "1 2&", "b": None}}, FORM, "a=1+2%26"),
        (
            {"body_format": "form", "body": {"a": [1, 2.5, None, "\xe9"], "b": True, "c": ""}},
            FORM,
            "a=1&a=2.5&a=%C3%A9&b=true&c=",
        ),
        (
            {"body_format": "form", "body": {"k": "{{ input.kind }}", "o": "{{ input.no? }}"}},
            FORM,
            "k=1",
        ),
        ({"body_format": "form", "body": "{{ input }}"}, FORM, "kind=1"),
        ({"body_format": "form"}, FORM, "kind=1"),
        ({"body_format": "bytes", "body": "AQL/"}, "application/octet-stream", "\x01\x02\xff"),
        ({"body_format": "bytes", "body": ""}, "application/octet-stream", ""),
        (
            {"body_format": "bytes", "kv": ["icon"], "body": "{{ kv.icon.value }}"},
            "application/octet-stream",
            "\x89PNG",
        ),
    ],
)
def test_a_body_is_written_in_its_format_with_its_content_type(
    bench: Bench, site: Site, fields: dict[str, Any], content_type: str, body: str
) -> None:
    got = sent(bench, site, **fields)

    assert got.headers["content-type"] == content_type
    assert got.body == body.encode("latin-1" if fields["body_format"] == "bytes" else "utf-8")


def test_the_headers_may_declare_another_content_type(bench: Bench, site: Site) -> None:
    headers = {"content-type": "application/json"}
    got = sent(bench, site, body_format="text", body='{"a": {{ input.kind }} }', headers=headers)
    assert (got.headers["content-type"], got.body) == ("application/json", b'{"a": 1 }')

    headers = {"content-type": "text/plain; charset=iso-8859-1"}
    got = sent(bench, site, body_format="text", body="M\xfcller", headers=headers)
    assert got.body == b"M\xfcller"

    got = sent(bench, site, body_format="bytes", body="AQI=", headers={"Content-Type": "image/png"})
    assert (got.headers["content-type"], got.body) == ("image/png", b"\x01\x02")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"body_format": "form", "body": {"a": "{{ input }}"}},
            "/target/body/a: a value of a form",
        ),
        ({"body_format": "form", "body": "{{ input.kind }}"}, "/target/body: with 'body_format'"),
        ({"body_format": "bytes", "body": "{{ input.kind }}"}, "a text in base64 with padding"),
        ({"body_format": "text", "body": "{{ input }}"}, "the body is a text, not an object"),
        ({"body_format": "text"}, "/input: with 'body_format' \"text\" the body is a text"),
        ({"body_format": "bytes"}, "/input: with 'body_format' \"bytes\" the body is a text"),
    ],
)
def test_a_value_that_the_format_cannot_have_is_not_sent(
    bench: Bench, site: Site, fields: dict[str, Any], message: str
) -> None:
    failed = error(call(bench, site, **fields))

    assert failed.type == "http.body"
    assert message in failed.message
    assert site.received == []


def test_the_input_is_the_body_in_the_format_of_the_target(bench: Bench, site: Site) -> None:
    call(bench, site, '"plain {{ text }}"', body_format="text")
    call(bench, site, '"AQI="', body_format="bytes")
    call(bench, site, json.dumps({"a": ["{{ x }}"]}), body_format="form")

    assert [each.body for each in site.received] == [
        b"plain {{ text }}",
        b"\x01\x02",
        b"a=%7B%7B+x+%7D%7D",
    ]


def test_a_text_that_its_charset_cannot_encode_is_not_sent(bench: Bench, site: Site) -> None:
    headers = {"Content-Type": "text/plain; charset=us-ascii"}

    failed = error(call(bench, site, body_format="text", body="M\xfcller", headers=headers))

    assert failed == RunError(
        "http.body", "the body cannot be sent: it has characters that us-ascii does not have"
    )
