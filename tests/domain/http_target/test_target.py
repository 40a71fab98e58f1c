from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rota.domain.http_target.kv_references import AskedKeys
from rota.domain.http_target.secret_headers import REDACTED, looks_secret
from rota.domain.http_target.target import Target, code_matches, redact, restore
from rota.domain.primitives.bounds import STORED
from rota.errors import MOST_FAULTS


def _target(**fields: Any) -> Target:
    return Target.model_validate({"url": "https://app.example.com/jobs"} | fields)


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


@pytest.mark.parametrize("field", ["headers", "query", "body", "kv_set"])
def test_texts_with_braces_are_templates_without_kv_too(field: str) -> None:
    kept = _target(**{field: {"a": "{{ input.a }} {{ run.attempt }} {{ task.name }}"}})

    assert getattr(kept, field)["a"].startswith("{{ input.a }}")
    for wrong in ("{{ anything }}", "{{ input", "{{ input.a | upper }}"):
        with pytest.raises(ValidationError):
            _target(**{field: {"a": wrong}})


def _check_refused(fields: dict[str, Any], place: tuple[str | int, ...], message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        _target(**fields)

    (fault,) = refused.value.errors()
    assert fault["loc"] == place
    assert message in fault["msg"]


@pytest.mark.parametrize(
    ("fields", "place", "message"),
    [
        (
            {"kv": ["a.b"], "body": "{{ kv.a.b }}"},
            ("body",),
            """a key with dots is written kv["a.b"]""",
        ),
        (
            {"kv": ["cursor"], "query": {"a": "{{ kv.other }}"}},
            ("query", "a"),
            "'other' is not among the keys",
        ),
        (
            {"kv": ["a:*"], "kv_set": {"a": "{{ kv.b:1 }}"}},
            ("kv_set", "a"),
            "'b:1' is not among the keys",
        ),
        (
            {"headers": {"X-Day": "{{ kv.cursor }}"}},
            ("headers", "X-Day"),
            """the request carries no entries; name them in 'kv', as in "kv": ["cursor"]""",
        ),
        ({"body": "{{ kv }}"}, ("body",), "the request carries no entries"),
        (
            {"body": {"items": [1, 2, 3, "{{ inptu.x }}"]}},
            ("body", "items", 3),
            "'inptu.x' begins with none of input, kv, task, run, scheduled_for; did you mean 'input'?",
        ),
        ({"body": ["{{ result.body }}"]}, ("body", 0), "the reply is there in 'kv_set' only"),
        (
            {"headers": {"X-Day": "{{ run.atempt }}"}},
            ("headers", "X-Day"),
            "task, scheduled_for, idempotency_key; did you mean 'attempt'?",
        ),
        ({"body": "{{ run.id.x }}"}, ("body",), "'run.id' is a text or a number"),
        ({"body": "{{ task.owner }}"}, ("body",), "'task' has id, name"),
        ({"body": "{{ scheduled_for.year }}"}, ("body",), "'scheduled_for' is a text"),
        ({"kv_set": {"a": "{{ result.next }}"}}, ("kv_set", "a"), "'result' has status, headers"),
        ({"kv_set": {"a": [0, "{{ x"]}}, ("kv_set", "a", 1), "is no reference such as"),
        ({"kv_set": {"_result": 1}}, ("kv_set", "_result", "[key]"), "read-only"),
        ({"body": ["{{ input.a }}"] * 1_001}, ("body",), "more than 1,000 references"),
        ({"body": "{{ input.a }}" * 60_000}, ("body",), "more than 1,000 references"),
        ({"query": {"a": "{{ input.a }}" * 1_001}}, ("query",), "more than 1,000 references"),
        (
            {"kv_set": {"a": "{{ result.body }}" * 600, "b": "{{ result.body }}" * 600}},
            ("kv_set",),
            "more than 1,000 references",
        ),
        ({"body": {"a/b": "{{ secret.crm }}"}}, ("body", "a/b"), "in 'headers' or 'auth' only"),
        ({"query": {"k": "{{ secret.crm }}"}}, ("query", "k"), "in 'headers' or 'auth' only"),
        ({"kv_set": {"k": "{{ secret.crm }}"}}, ("kv_set", "k"), "in 'headers' or 'auth' only"),
        (
            {"url": "https://a.example/{{ secret.crm }}"},
            ("url",),
            "'secret.crm' cannot be in 'url': a secret is sent in 'headers' or 'auth' only",
        ),
        ({"headers": {"X": "{{ secret }}"}}, ("headers", "X"), "is no secret: write"),
        ({"headers": {"X": "{{ secret.a.b }}"}}, ("headers", "X"), "is no secret: write"),
        (
            {"headers": {"X": "{{ secret.a | base64 | base64 }}"}},
            ("headers", "X"),
            "a secret takes one at most",
        ),
    ],
)
def test_a_template_that_could_never_be_filled_in_is_refused_at_its_place(
    fields: dict[str, Any], place: tuple[str | int, ...], message: str
) -> None:
    _check_refused(fields, place, message)


def test_every_wrong_text_is_named_but_no_more_than_can_be_read() -> None:
    with pytest.raises(ValidationError) as refused:
        _target(headers={"X": "{{ a }}"}, query={"q": "{{ b }}"}, body=["{{ c", "{{ d }}"])
    assert [each["loc"] for each in refused.value.errors()] == [
        ("headers", "X"),
        ("query", "q"),
        ("body", 0),
        ("body", 1),
    ]

    with pytest.raises(ValidationError) as refused:
        _target(body=["{{ wrong"] * 5_000)
    assert refused.value.error_count() == MOST_FAULTS


def test_secrets_and_filters_are_for_headers() -> None:
    headers = {"Authorization": "Bearer {{ secret.crm }}", "X": '{{ secret["a.b"] | base64 }}'}

    assert _target(headers=headers).headers == headers


def test_a_definition_that_was_stored_when_braces_were_braces_can_be_read() -> None:
    stored = {
        "url": "https://{{ host }}/{{ x",
        "headers": {"TE": "trailers", "X": "{{ a b }}"},
        "query": {"q": "{{ kv.no }}"},
        "body": ["{{ anything", "{{ secret.x }}"],
        "body_format": "form",
        "kv_set": {"a": "{{ nothing }}"},
    }
    read = Target.model_validate(stored, context=STORED)

    assert read.body == stored["body"]
    assert read.url == stored["url"]


@pytest.mark.parametrize(
    "url",
    [
        "https://app.example.com/{{ input.id }}",
        "https://app.example.com?x={{ input.id }}",
        "https://app.example.com:8443/a/{{ input.id | urlencode }}/b?c={{ run.id }}&d={{ task.name }}",
        'https://app.example.com/{{ input.id | default("a/b c") }}#end',
    ],
)
def test_the_path_and_the_query_of_a_url_are_templates(url: str) -> None:
    assert _target(url=url).url == url


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("{{ input.url }}", "scheme, host and port are written out"),
        ("{{ input.scheme }}://app.example.com/", "scheme, host and port are written out"),
        ("https://{{ input.host }}/", "scheme, host and port are written out"),
        ("https://app{{ input.host }}/", "scheme, host and port are written out"),
        ("https://app.example.com{{ input.path }}", "scheme, host and port are written out"),
        ("https://app.example.com:{{ input.port }}/", "scheme, host and port are written out"),
        ("https://{{ input.user }}@app.example.com/", "scheme, host and port are written out"),
        ("https://app.example.com\\{{ input.a }}/", "scheme, host and port are written out"),
        ('https://app{{ "/" }}{{ input.a }}', "scheme, host and port are written out"),
        ("https://user@app.example.com/{{ input.a }}", "put credentials into a header"),
        ("https://app.example.com/a b/{{ input.a }}", "give an absolute http or https URL"),
        ("ftp://app.example.com/{{ input.a }}", "give an absolute http or https URL"),
        ("https://app.example.com/#{{ input.a }}", "the fragment of a URL is never sent"),
        ("https://app.example.com/../{{ input.a }}", "a segment '.' or '..'"),
        ("https://app.example.com/%2E%2e/{{ input.a }}", "a segment '.' or '..'"),
        ("https://app.example.com/{{ input.a", "is no reference such as"),
        ("https://app.example.com/{{ input.a | url }}", "did you mean 'urlencode'?"),
    ],
)
def test_nothing_but_the_path_and_the_query_of_a_url_is_a_template(url: str, message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        _target(url=url)

    (fault,) = refused.value.errors()
    assert fault["loc"] == ("url",)
    assert message in fault["msg"]


@pytest.mark.parametrize(
    "name",
    [
        *(
            "TE",
            "Upgrade",
            "Expect",
            "Trailer",
            "Keep-Alive",
            "connection",
            "HTTP2-Settings",
            "Host",
        ),
        *(
            "Proxy-Authorization",
            "proxy-connection",
            "webhook-id",
            "Webhook-Signature",
            "webhook-x",
        ),
        *("X-Rota-Run", "x-rota-anything"),
    ],
)
def test_headers_that_rota_or_the_connection_sets_are_reserved(name: str) -> None:
    with pytest.raises(ValidationError) as refused:
        _target(headers={"X-Fine": "y", name: "x"})

    (fault,) = refused.value.errors()
    assert fault["loc"] == ("headers", name)
    assert fault["msg"] == f"'{name}' is set by Rota itself; leave it out"


def test_a_header_is_given_once_in_whatever_case() -> None:
    with pytest.raises(ValidationError) as refused:
        _target(headers={"X-Day": "1", "x-day": "2"})

    assert refused.value.errors()[0]["loc"] == ("headers", "x-day")
    assert _target(headers={"Idempotency-Key": "mine", "User-Agent": "me"}).headers


@pytest.mark.parametrize(
    ("fields", "place", "message"),
    [
        ({"body_format": "xml", "body": ""}, ("body_format",), "'json', 'text', 'form' or 'bytes'"),
        ({"body_format": "text", "body": {"a": 1}}, ("body",), "is a text, not an object"),
        ({"body_format": "form", "body": "a=1"}, ("body",), "is an object, not a text"),
        ({"body_format": "form", "body": [1]}, ("body",), "is an object, not a list"),
        ({"body_format": "form", "body": {"a": {}}}, ("body", "a"), "write others as JSON"),
        ({"body_format": "form", "body": {"b": [[1]]}}, ("body", "b"), "a value of a form is"),
        ({"body_format": "bytes", "body": "aGk"}, ("body",), "a text in base64 with padding"),
        ({"body_format": "bytes", "body": "a-_="}, ("body",), "a text in base64 with padding"),
        ({"body_format": "bytes", "body": 5}, ("body",), "a text in base64 with padding"),
        (
            {"body_format": "form", "kv": ["cursor"]},
            ("body_format",),
            "with 'kv' and without a 'body' the request carries JSON",
        ),
    ],
)
def test_a_body_that_its_format_cannot_have_is_refused(
    fields: dict[str, Any], place: tuple[str | int, ...], message: str
) -> None:
    _check_refused(fields, place, message)


@pytest.mark.parametrize(
    "fields",
    [
        {"body_format": "text", "body": "{{ input.a }}"},
        {"body_format": "form", "body": {"a": [1, "b", None], "c": True, "d": "{{ input.d }}"}},
        {"body_format": "form", "body": "{{ input }}"},
        {"body_format": "bytes", "body": "{{ input.a | base64 }}"},
        {"body_format": "bytes", "body": ""},
        {"body_format": "form", "kv": ["cursor"], "method": "GET"},
        {"body_format": "form"},
    ],
)
def test_a_body_fits_its_format(fields: dict[str, Any]) -> None:
    assert _target(**fields).body_format == fields["body_format"]


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


def test_a_header_and_all_of_them_together_have_a_limit() -> None:
    def faults(headers: dict[str, str]) -> list[tuple[tuple[str | int, ...], str]]:
        with pytest.raises(ValidationError) as refused:
            _target(headers=headers)
        return [(each["loc"], each["msg"]) for each in refused.value.errors()]

    assert _target(headers={"X": "v" * 16_384}).headers
    assert faults({"X": "v" * 16_385}) == [
        (("headers", "X"), "the value of 'X' has 16,385 characters; give at most 16,384")
    ]
    assert faults({f"X-{number}": "v" * 16_384 for number in range(4)}) == [
        (("headers",), "the headers have more than 65,536 characters, which is the limit")
    ]
