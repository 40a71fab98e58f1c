"""References in URLs: their values are data, and lead to no other server and no other path."""

import json
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.domain.http_target.templates.filling import CANNOT_BE_FILLED, Budget
from rota.domain.http_target.templates.urls import fill_url
from tests.domain.primitives.json.test_json_text import TEXT
from tests.handlers.bench import Bench
from tests.handlers.http.kv_calls import call, error, sent
from tests.handlers.target import Site


@pytest.mark.parametrize(
    ("value", "segment"),
    [
        ("a b", "a%20b"),
        ("//evil.example", "%2F%2Fevil.example"),
        ("@evil.example", "%40evil.example"),
        ("\\\\evil", "%5C%5Cevil"),
        ("a\r\nHost: evil", "a%0D%0AHost%3A%20evil"),
        ("../../admin", "..%2F..%2Fadmin"),
        ("%2e%2e", "%252e%252e"),
        ("?a=b&c#d", "%3Fa%3Db%26c%23d"),
        ("\u00fc", "%C3%BC"),
        ("...", "..."),
        (8811, "8811"),
        (True, "true"),
        (["a"], "%5B%22a%22%5D"),
    ],
)
@pytest.mark.parametrize("reference", ["{{ input.x }}", "{{ input.x | urlencode }}"])
def test_a_value_is_one_segment_and_one_parameter_of_the_url_that_is_sent(
    bench: Bench, site: Site, value: Any, segment: str, reference: str
) -> None:
    given = json.dumps({"x": value})
    call(bench, site, given, path=f"/a/{reference}/b?c={reference}&d=1")

    (got,) = site.received
    assert got.path == f"/a/{segment}/b?c={segment}&d=1"
    assert got.headers["host"] == f"127.0.0.1:{site.port}"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/a/{{ input.x }}/b", ".."),
        ("/a/{{ input.x }}", "."),
        ("/a/.{{ input.x }}/b", "."),
        ("/a/%2e{{ input.x }}?q=1", "."),
        ("/a/{{ input.x }}{{ input.x }}#f", "."),
    ],
)
def test_a_segment_that_leads_elsewhere_is_not_sent(
    bench: Bench, site: Site, path: str, value: str
) -> None:
    failed = error(call(bench, site, json.dumps({"x": value}), path=path))

    assert failed.type == "http.template"
    assert "has a segment '.' or '..', which would lead elsewhere" in failed.message
    assert site.received == []


@pytest.mark.parametrize("value", ["", None])
def test_an_empty_value_in_the_path_is_not_sent_unless_it_is_meant(
    bench: Bench, site: Site, value: str | None
) -> None:
    given = json.dumps({"x": value})
    failed = error(call(bench, site, given, method="DELETE", path="/users/{{ input.x }}"))
    assert "input.x is empty, and the path of the URL would be another one" in failed.message
    assert site.received == []

    call(bench, site, given, path="/users/{{ input.x? }}?q={{ input.x }}")
    call(bench, site, given, path='/users/{{ input.x | default("all") }}')
    assert [each.path for each in site.received] == [
        "/users/?q=",
        "/users/" + ("all" if value is None else ""),
    ]


def test_a_url_that_values_make_too_long_is_not_sent(bench: Bench, site: Site) -> None:
    failed = error(call(bench, site, json.dumps({"x": "x" * 8_000}), path="/{{ input.x }}"))

    assert failed.message.endswith("the URL is longer than 8,000 characters, the limit")
    assert site.received == []


def test_parameters_of_the_target_follow_those_of_the_url(bench: Bench, site: Site) -> None:
    got = sent(bench, site, path="/?a={{ input.kind }}", query={"b": "{{ input.kind }}"})

    assert got.path == "/?a=1&b=1"


@given(TEXT | st.text("./\\\\@:?#%2eE \r\n", max_size=8))
def test_no_value_changes_anything_but_its_segment(value: str) -> None:
    try:
        filled = fill_url("https://a.example:8443/b/{{ x }}/c?d={{ x }}", {"x": value}, Budget())
    except CANNOT_BE_FILLED:
        assert value in {"", ".", ".."}
        return
    parts = urlsplit(filled)
    assert (parts.scheme, parts.netloc) == ("https", "a.example:8443")
    assert [unquote(each) for each in parts.path.split("/")] == ["", "b", value, "c"]
    assert unquote(parts.query) == f"d={value}"
