"""Bodies that are no JSON, of another media type, or too large: a 4xx problem, and nothing is stored."""

import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.api.bad_input.requests import JSON, MEBIBYTE, TASK, on_both, raw
from tests.api.service import Api, pointers, problem


# ---------------------------------------------------------------------------------------------------- not JSON
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"}",
        b"{'a': 1}",
        b'{"a": 1,}',
        b'{"a" 1}',
        b"[1,]",
        b"// comment\n{}",
        b"{} {}",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 01}',
        b'{"a": .5}',
        b'{"a": "\n"}',
        b'{"a": "\x00"}',
        b'{"a": "\\x41"}',
        b'{"a": "\\ud8"}',
        b"nul",
        b"\xff\xfe{}",
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        '{"a": 1}'.encode("utf-16"),
        '{"a": 1}'.encode("utf-32"),
        b"name=t&handler=echo",
    ],
)
@pytest.mark.parametrize(
    "path", ["/v1/tasks", "/v1/tasks/batch", "/v1/tasks/t/run", "/v1/tasks/t/pause"]
)
def test_a_body_that_is_not_json_is_400(api: Api, body: bytes, path: str) -> None:
    problem(raw(api, body, path), 400, "malformed-json")


def test_the_position_of_a_syntax_error_is_in_the_detail(api: Api) -> None:
    refused = problem(raw(api, b'{"handler": "echo",\n "schedule": }'), 400, "malformed-json")

    assert "line 2, column 14" in refused["detail"]


@on_both
# ------------------------------------------------------------------------------------ JSON that is not accepted
@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ('{"handler":"echo","handler":"greet"}', "/handler"),
        ('{"input":{"a":[0,{"b":1,"b":2}]}}', "/input/a/1/b"),
        ('{"input":{"a/b~c":1,"a/b~c":1}}', "/input/a~1b~0c"),
        ('{"description":"a\\u0000b"}', "/description"),
        ('{"input":{"x":["\\u0000"]}}', "/input/x/0"),
        ('{"input":{"\\u0000":1}}', "/input"),
        ('{"description":"\\ud800"}', "/description"),
        ('{"input":["\\udc00\\ud800"]}', "/input/0"),
        ('{"input":{"\\udfff":1}}', "/input"),
        ('{"input":1e999}', "/input"),
        ('{"input":[-1e999]}', "/input/0"),
    ],
)
def test_errors_of_json_that_cannot_be_stored_have_pointers(
    api: Api, body: str, pointer: str
) -> None:
    refused = raw(api, body)

    problem(refused, 422, "unacceptable-json")
    assert pointers(refused) == [pointer]


@on_both
def test_at_most_sixty_four_levels_are_accepted(api: Api) -> None:
    def nested(levels: int) -> str:
        return json.dumps(TASK)[:-1] + f', "input": {"[" * (levels - 1)}{"]" * (levels - 1)}}}'

    refused = raw(api, nested(65))

    problem(refused, 422, "unacceptable-json")
    assert pointers(refused) == ["/input" + "/0" * 63]
    accepted = raw(api, nested(64))
    assert accepted.status_code == 201, accepted.text
    name = accepted.json()["name"]
    run = api.ended(
        api.run(name)
    )  # what is accepted can be returned, although the response nests it deeper
    assert run["result"] == run["input"] == accepted.json()["input"]
    assert len(api.items("/v1/tasks")) == 2
    assert api.items("/v1/runs")[0]["result"] == run["result"]
    assert api.read(f"/v1/tasks/{name}/kv/_result")["value"] == run["result"]
    assert api.delete(f"/v1/tasks/{name}").status_code == 204


@pytest.mark.parametrize("levels", [900, 100_000])
def test_very_deep_json_is_refused(api: Api, levels: int) -> None:
    body = '{"input":' + "[" * levels + "]" * levels + "}"

    assert raw(api, body).status_code == 422


def test_a_number_of_thousands_of_digits_is_refused(api: Api) -> None:
    assert raw(api, '{"input":' + "9" * 5_000 + "}").status_code == 422


# ------------------------------------------------------------------------------------- media types and sizes
@pytest.mark.parametrize(
    "media_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "text/json",
        "",
        "json",
        "application/jsonp",
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/tasks"),
        ("PUT", "/v1/tasks/bad"),
        ("PATCH", "/v1/tasks/t"),
        ("POST", "/v1/tasks/batch"),
        ("POST", "/v1/tasks/t/run"),
    ],
)
def test_a_body_that_is_not_declared_as_json_is_415(
    api: Api, method: str, path: str, media_type: str
) -> None:
    refused = api.call(
        method, path, content=json.dumps(TASK).encode(), headers={"Content-Type": media_type}
    )

    problem(refused, 415, "unsupported-media-type")


@pytest.mark.parametrize("media_type", ["", "json", "text/", "/plain", "text plain", "a/b" * 100])
def test_a_kv_value_without_a_content_type_is_415(api: Api, media_type: str) -> None:
    refused = api.put(
        "/v1/tasks/t/kv/a", content=b'{"value": 1}', headers={"Content-Type": media_type}
    )

    problem(refused, 415, "unsupported-media-type")


def test_a_body_without_a_media_type_is_415(api: Api) -> None:
    problem(api.post("/v1/tasks", content=json.dumps(TASK).encode()), 415, "unsupported-media-type")


@pytest.mark.parametrize("encoding", ["gzip", "br", "gzip, identity", "GZIP"])
@pytest.mark.parametrize(
    ("method", "path", "media_type"),
    [
        ("POST", "/v1/tasks", "application/json"),
        ("POST", "/v1/tasks/batch", "application/json"),
        ("POST", "/v1/tasks/t/pause", "application/json"),
        ("PUT", "/v1/tasks/t/kv/a", "application/json"),
        ("PUT", "/v1/tasks/t/kv/a", "text/plain"),
        ("POST", "/v1/tasks/t/kv/import", "application/x-ndjson"),
    ],
)
def test_an_encoded_body_is_415_with_the_accepted_encoding(
    api: Api, method: str, path: str, media_type: str, encoding: str
) -> None:
    headers = {"Content-Type": media_type, "Content-Encoding": encoding}

    refused = api.call(method, path, content=gzip.compress(b"{}"), headers=headers)

    found = problem(refused, 415, "unsupported-media-type")
    assert refused.headers["accept-encoding"] == "identity"
    assert "Content-Encoding" in found["detail"]


@on_both
def test_a_body_with_the_identity_encoding_is_accepted(api: Api) -> None:
    headers = JSON | {"Content-Encoding": "identity"}

    assert api.post("/v1/tasks/t/resume", content=b"{}", headers=headers).status_code == 200
    encoded = {"Content-Encoding": "gzip"}  # what has no body is not encoded either
    assert api.post("/v1/tasks/t/resume", headers=encoded).status_code == 200


@on_both
def test_a_byte_order_mark_before_json_is_ignored(api: Api) -> None:
    body = b"\xef\xbb\xbf" + json.dumps(TASK | {"name": "marked"}).encode()

    made = api.post("/v1/tasks", content=body, headers=JSON)

    assert made.status_code == 201, made.text
    assert api.delete("/v1/tasks/marked").status_code == 204
    problem(raw(api, b"\xef\xbb\xbf\xef\xbb\xbf{}"), 400, "malformed-json")


@on_both
def test_json_with_a_charset_is_accepted(api: Api) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}

    assert api.post("/v1/tasks/t/resume", content=b"{}", headers=headers).status_code == 200


async def chunks(size: int) -> AsyncIterator[bytes]:
    yield b'{"input":"'
    for _ in range(size // 65_536):
        yield b"x" * 65_536


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("method", "path", "limit"),
    [
        ("POST", "/v1/tasks", MEBIBYTE),
        ("PUT", "/v1/tasks/bad", MEBIBYTE),
        ("PATCH", "/v1/tasks/t", MEBIBYTE),
        ("POST", "/v1/tasks/t/run", MEBIBYTE),
        ("POST", "/v1/tasks/t/pause", MEBIBYTE),
        ("PUT", "/v1/tasks/t/kv/a", MEBIBYTE),
        ("POST", "/v1/tasks/batch", 16 * MEBIBYTE),
    ],
)
def test_a_body_over_the_limit_is_413_with_the_limit(
    api: Api, method: str, path: str, limit: int, chunked: bool
) -> None:
    size = max(10, limit // MEBIBYTE + 1) * MEBIBYTE
    content: Any = chunks(size) if chunked else b"x" * size

    refused = api.call(method, path, content=content, headers=JSON)

    found = problem(refused, 413, "too-large")
    assert str(limit) in found["detail"], found


@on_both
def test_a_body_at_the_limit_is_accepted(api: Api) -> None:
    padding = b'{"reason":"x"}'

    accepted = api.post("/v1/tasks/t/resume", content=b"{}".ljust(MEBIBYTE), headers=JSON)
    over = api.post("/v1/tasks/t/resume", content=padding.ljust(MEBIBYTE + 1), headers=JSON)

    assert accepted.status_code == 200
    assert over.status_code == 413
