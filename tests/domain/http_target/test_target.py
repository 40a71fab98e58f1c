from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rota.domain.http_target.kv_references import AskedKeys
from rota.domain.http_target.target import (
    REDACTED,
    Target,
    code_matches,
    looks_secret,
    redact,
    restore,
)


def _target(**members: Any) -> Target:
    return Target.model_validate({"url": "https://app.example.com/jobs"} | members)


@pytest.mark.parametrize(
    "url",
    [
        "https://app.example.com/jobs?x=1#y",
        "http://localhost:8080",
        "HTTP://[::1]:80/",
        "http://10.0.0.1/a%20b",
        "https://bücher.example/",
    ],
)
def test_a_url_that_can_be_called(url: str) -> None:
    assert _target(url=url).url == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "app.example.com/jobs",
        "/jobs",
        "ftp://app.example.com",
        "file:///etc/passwd",
        "http://",
        "http:///path",
        "http://host:0/",
        "http://host:99999/",
        "http://host:x/",
        "http://[::1",
        "http://user@host/",
        "http://user:password@host/",
        "http://@host/",
        "http://host\\@other/",
        "http://host/a b",
        "http://host/\r\nX: y",
        " http://host/",
        "http://host/" + "x" * 8_000,
    ],
)
def test_a_url_that_cannot_be_called_is_refused(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        _target(url=url)

    assert refused.value.errors()[0]["loc"] == ("url",)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "x"},
        {"content-length": "1"},
        {"Transfer-Encoding": "chunked"},
        {"CONNECTION": "close"},
        {"a b": "x"},
        {"": "x"},
        {"x:": "y"},
        {"x": "a\r\nb: c"},
        {"x": "a\x00"},
        {"x": "€"},
        {f"x{number}": "y" for number in range(65)},
    ],
)
def test_headers_that_cannot_be_sent_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ValidationError) as refused:
        _target(headers=headers)

    assert refused.value.errors()[0]["loc"][0] == "headers"


@pytest.mark.parametrize(
    ("codes", "matching", "others"),
    [
        (("2xx",), [200, 204, 299], [199, 300, 404]),
        ((404, "5xx"), [404, 500, 503], [200, 403]),
        (("418",), [418], [200]),
    ],
)
def test_codes_and_classes_of_codes(codes: Any, matching: list[int], others: list[int]) -> None:
    accepted = _target(success_codes=codes).success_codes

    assert all(code_matches(accepted, status) for status in matching)
    assert not any(code_matches(accepted, status) for status in others)


@pytest.mark.parametrize("code", ["6xx", "2x", "20", 99, 600, "2XX", "abc", -200])
def test_what_is_no_code_is_refused(code: Any) -> None:
    with pytest.raises(ValidationError):
        _target(success_codes=[code])


def test_a_call_needs_a_timeout_above_zero() -> None:
    with pytest.raises(ValidationError):
        _target(timeout=0)


@pytest.mark.parametrize(
    ("header", "secret"),
    [
        ("Authorization", True),
        ("Proxy-Authorization", True),
        ("Cookie", True),
        ("X-Api-Key", True),
        ("x-csrf-token", True),
        ("Client-Secret", True),
        ("X-Auth", True),
        ("X-Hub-Signature-256", True),
        ("X-Pass", True),
        ("X-Password", True),
        ("X-Amz-Credential", True),
        ("X-Session-Id", True),
        ("X-Author", False),
        ("X-Compass", False),
        ("Content-Type", False),
        ("Accept", False),
    ],
)
def test_headers_whose_names_look_secret(header: str, secret: bool) -> None:
    assert looks_secret(header) is secret


def test_what_is_read_can_be_sent_back_without_its_secrets() -> None:
    stored = _target(headers={"Authorization": "Bearer 123", "Accept": "text/plain"})

    shown = redact(stored)

    assert shown.headers == {"Authorization": REDACTED, "Accept": "text/plain"}
    assert "123" not in shown.model_dump_json()
    assert restore(shown, stored) == stored


def test_a_new_secret_replaces_the_stored_one() -> None:
    stored = _target(headers={"Authorization": "old"})

    assert restore(_target(headers={"Authorization": "new"}), stored).headers == {
        "Authorization": "new"
    }


@pytest.mark.parametrize("stored", [None, _target()])
def test_a_secret_that_was_never_stored_cannot_be_restored(stored: Target | None) -> None:
    with pytest.raises(KeyError, match="Authorization"):
        restore(_target(headers={"Authorization": REDACTED}), stored)


@pytest.mark.parametrize(
    "url", ["http://example.com/x", "https://evil.example.com/x", "https://example.com:8443/x"]
)
def test_a_stored_secret_is_not_sent_to_another_server(url: str) -> None:
    stored = _target(url="https://example.com/a", headers={"Authorization": "Bearer 123"})

    with pytest.raises(KeyError):
        restore(_target(url=url, headers={"Authorization": REDACTED}), stored)

    moved = restore(
        _target(url="https://example.com/b", headers={"Authorization": REDACTED}), stored
    )
    assert moved.headers == stored.headers


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"kv": ["a.b"], "body": "{{ kv.a.b }}"}, """a key with dots is written kv["a.b"]"""),
        ({"kv": ["cursor"], "query": {"a": "{{ kv.other }}"}}, "'other' is not among the keys"),
        ({"kv": ["a:*"], "kv_set": {"a": "{{ kv.b:1 }}"}}, "'b:1' is not among the keys"),
        ({"kv": ["cursor"], "body": ["{{ result.body }}"]}, "begins with none of kv, input, run"),
        ({"kv": ["cursor"], "body": ["{{ run.name }}"]}, "'run' has id, attempt, task"),
        ({"kv_set": {"a": "{{ result.next }}"}}, "'result' has status, headers, body"),
        ({"kv_set": {"a": ["{{ x"]}}, "is no reference such as"),
        ({"kv_set": {"_result": 1}}, "read-only"),
        ({"kv": ["a"], "body": ["{{ kv.a }}"] * 1_001}, "more than 1,000 references"),
        ({"kv": ["a"], "body": "{{ kv.a }}" * 60_000}, "more than 1,000 references"),
        ({"kv": ["a"], "query": {"a": "{{ kv.a }}" * 1_001}}, "more than 1,000 references"),
        (
            {"kv_set": {"a": "{{ result.body }}" * 600, "b": "{{ result.body }}" * 600}},
            "more than 1,000 references",
        ),
    ],
)
def test_templates_that_could_never_be_filled_in_are_refused(
    members: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        _target(**members)

    assert message in refused.value.errors()[0]["msg"]


def test_braces_are_braces_where_no_entries_are_asked_for() -> None:
    assert _target(body="{{ anything").body == "{{ anything"
    assert _target(kv=["a:*"], body="{{ kv.a:1? }}").kv == ("a:*",)


@given(
    st.lists(st.from_regex(r"[ab]{0,3}\*|[ab]{1,4}", fullmatch=True)),
    st.text("ab", max_size=5),
)
def test_a_key_is_asked_for_by_itself_or_by_any_of_its_beginnings(
    asked: list[str], key: str
) -> None:
    expected = any(
        key.startswith(each[:-1]) if each.endswith("*") else key == each for each in asked
    )

    assert (key in AskedKeys(asked)) is expected


def test_a_key_is_compared_with_one_beginning_however_many_are_asked_for() -> None:
    looks: list[str] = []

    class Counted(str):
        __slots__ = ()

        def startswith(self, *given: Any) -> bool:
            looks.append(self)
            return super().startswith(*given)

    keys = AskedKeys([f"a{number}*" for number in range(100)])

    assert Counted("a77:x") in keys
    assert len(looks) == 1
