"""Responses of targets: results, and outcomes that they declare."""

import gzip
import json
import zlib
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from rota.domain.kv.entries import KvChange
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Fatal, RetryRequested, Succeeded
from tests.handlers.bench import Bench
from tests.handlers.target import OUTCOME, Site, error, get, result


def test_a_response_is_the_result_with_selected_headers(bench: Bench, site: Site) -> None:
    site.answer(
        201, b'{"id":7}', "application/problem+json; charset=utf-8", Set_Cookie="s=1", ETag='"1"'
    )

    assert result(bench, site) == {
        "status": 201,
        "headers": {"content-type": "application/problem+json; charset=utf-8", "etag": '"1"'},
        "body": {"id": 7},
    }


@pytest.mark.parametrize(
    ("content_type", "sent", "body"),
    [
        ("text/plain; charset=iso-8859-1", b"caf\xe9", "café"),
        ("text/plain", b"a\x00b\xff", "a\\x00b�"),
        ("text/plain; charset=zlib", b"plain", "plain"),
        ("application/json", b'{"a":1,"a":2}', '{"a":1,"a":2}'),
        ("application/json", b'"\\ud800"', '"\\ud800"'),
        ("application/json", b"NaN", "NaN"),
        ("application/json", b"[" * 63 + b"]" * 63, json.loads("[" * 63 + "]" * 63)),
        ("application/json", b"[" * 64 + b"]" * 64, "[" * 64 + "]" * 64),
        ("", b"plain", "plain"),
        ("", b"", None),
    ],
)
def test_bodies_are_stored_as_json_or_text(
    bench: Bench, site: Site, content_type: str, sent: bytes, body: Any
) -> None:
    site.answer(200, sent, content_type)

    assert result(bench, site)["body"] == body


@pytest.mark.parametrize("content_type", ["image/png", "application/octet-stream", ""])
def test_only_the_size_of_other_bodies_is_stored(
    bench: Bench, site: Site, content_type: str
) -> None:
    site.answer(200, b"\x89PNG\x00", content_type)

    kept = result(bench, site)
    assert (kept["body"], kept["body_bytes"]) == (None, 5)


def test_a_decompression_bomb_is_decompressed_up_to_the_limit(bench: Bench, site: Site) -> None:
    site.answer(
        200, gzip.compress(b"0" * 3_000_000, mtime=0), "text/plain", Content_Encoding="gzip"
    )

    kept = result(bench, site)
    assert (kept["body"], kept["truncated"]) == ("0" * 4_096, True)
    assert kept["headers"]["content-encoding"] == "gzip"


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(b'{"a":1}', mtime=0)),
        ("X-GZIP", gzip.compress(b'{"a":1}', mtime=0)),
        (
            "gzip",
            gzip.compress(b'{"a"', mtime=0)
            + gzip.compress(b"", mtime=0)
            + gzip.compress(b":1}", mtime=0),
        ),
        ("gzip", gzip.compress(b'{"a":1}', mtime=0) + b"\0" * 100),
        ("deflate", zlib.compress(b'{"a":1}')),
        ("deflate", zlib.compress(b'{"a":1}', wbits=-15)),
        ("identity", b'{"a":1}'),
    ],
)
def test_a_body_that_is_compressed_without_request_is_read(
    bench: Bench, site: Site, encoding: str, packed: bytes
) -> None:
    site.answer(200, packed, "application/json", Content_Encoding=encoding)

    kept = result(bench, site)
    assert kept["body"] == {"a": 1}
    assert "truncated" not in kept


@pytest.mark.parametrize(
    "packed",
    [
        gzip.compress(b"0" * 4_000, mtime=0) * 9,
        gzip.compress(b"0" * 4_096, mtime=0) + gzip.compress(b"", mtime=0)[:5],
    ],
)
def test_many_compressed_members_are_decompressed_up_to_the_limit(
    bench: Bench, site: Site, packed: bytes
) -> None:
    site.answer(200, packed, "text/plain", Content_Encoding="gzip")

    kept = result(bench, site)
    assert (kept["body"], kept["truncated"]) == ("0" * 4_096, True)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [("br", b"\x0b\x03"), ("gzip", b"no gzip at all"), ("deflate", b"nor deflate")],
)
def test_only_the_size_of_a_body_that_cannot_be_decompressed_is_stored(
    bench: Bench, site: Site, encoding: str, body: bytes
) -> None:
    site.answer(200, body, "text/plain", Content_Encoding=encoding)

    kept = result(bench, site)
    assert (kept["body"], kept["body_bytes"]) == (None, len(body))
    assert kept["headers"]["content-encoding"] == encoding


def test_an_outcome_that_cannot_be_decompressed_fails_with_that_message(
    bench: Bench, site: Site
) -> None:
    site.answer(200, b"?", OUTCOME, Content_Encoding="br")

    assert error(bench, site).message == (
        "the outcome in the response is invalid: its Content-Encoding is 'br', which cannot be read"
    )


def test_a_compressed_outcome_is_applied(bench: Bench, site: Site) -> None:
    site.answer(200, gzip.compress(b'{"result": 7}', mtime=0), OUTCOME, Content_Encoding="gzip")

    assert result(bench, site) == 7


@pytest.mark.parametrize(
    ("content_type", "shown"), [("application/json", {"a": 1}), ("text/plain", '{"a":1}')]
)
def test_a_byte_order_mark_is_not_part_of_a_body(
    bench: Bench, site: Site, content_type: str, shown: Any
) -> None:
    site.answer(200, b'\xef\xbb\xbf{"a":1}', content_type)

    assert result(bench, site)["body"] == shown


def test_a_byte_order_mark_is_not_part_of_an_outcome(bench: Bench, site: Site) -> None:
    site.answer(200, b'\xef\xbb\xbf{"result": 7}', OUTCOME)

    assert result(bench, site) == 7


def test_only_the_beginning_of_a_huge_body_is_read(bench: Bench, site: Site) -> None:
    site.answer(200, b"x" * 10_000_000, "text/plain")

    kept = result(bench, site)
    assert kept["body"] == "x" * 4_096
    assert kept["truncated"] is True


def test_a_response_can_declare_the_outcome(bench: Bench, site: Site) -> None:
    document = {
        "result": {"new": 3},
        "kv": [
            {"op": "set", "key": "cursor", "value": "8812"},
            {"op": "set", "key": "seen", "value": 1, "ttl": "1h"},
            {"op": "delete", "key": "name"},
        ],
    }
    site.answer(200, json.dumps(document).encode(), f"{OUTCOME}; charset=utf-8")

    outcome = get(bench, site)
    assert isinstance(outcome, Succeeded)
    assert set(outcome.timings or ()) == {"dns", "connect", "write", "wait", "read"}
    assert replace(outcome, timings=None) == Succeeded(
        '{"new":3}',
        (
            KvChange("cursor", b'"8812"'),
            KvChange("seen", b"1", timedelta(hours=1)),
            KvChange("name", None),
        ),
        5,
    )


def test_a_response_can_request_a_retry_within_a_day_at_most(bench: Bench, site: Site) -> None:
    site.answer(200, b'{"retry":{"after":"36500d"}}', OUTCOME)

    outcome = get(bench, site)

    assert isinstance(outcome, RetryRequested)
    assert outcome.after == timedelta(days=1)


@pytest.mark.parametrize("status", [200, 503])
def test_a_response_can_request_a_retry_or_fail_with_any_status(
    bench: Bench, site: Site, status: int
) -> None:
    site.answer(status, b'{"retry":{"after":30,"reason":"rate limited"}}', OUTCOME)
    assert get(bench, site) == RetryRequested(
        timedelta(seconds=30), RunError("retry", "rate limited")
    )

    site.answer(status, b'{"retry":{"after":"36500d"}}', OUTCOME)
    longest = get(bench, site)
    assert isinstance(longest, RetryRequested)
    assert longest.after == timedelta(days=1)

    site.answer(status, b'{"fail":{"reason":"no such customer"}}', OUTCOME)
    assert get(bench, site) == Fatal(RunError("fail", "no such customer"))


@pytest.mark.parametrize(
    ("document", "explanation"),
    [
        ('{"kv":[{"op":"conjure","key":"a"}]}', "/kv/0/op: "),
        ('{"kv":{"op":"set"}}', "/kv: "),
        (
            '{"kv":[{"op":"set","key":"a","value":1},{"op":"increment","key":"a","by":"1"}]}',
            "/kv/1/by: ",
        ),
        ('{"kv":[{"op":"set","key":"a"}]}', "/kv/0/value: this field is required"),
        ('{"kv":[{"op":"set","key":"a","value":1,"by":1}]}', "/kv/0/by: this field is not known"),
        ('{"kv":[{"op":"expire","key":"a","ttl":0}]}', "/kv/0/ttl: give a duration above 0"),
        ('{"kv":[{"op":"check","key":"a"}]}', "/kv/0: give one of"),
        ('{"kv":[{"op":"increment","key":"name","by":1}]}', "/kv/0: increment of 'name'"),
        ('{"kv":[{"op":"expire","key":"gone","ttl":1}]}', "/kv/0: 'gone' cannot expire"),
        ('{"kv":[{"op":"set","key":"_result","value":1}]}', "/kv/0: '_result' cannot be written"),
        ('{"kv":[{"op":"set","key":"a","value":"' + "x" * 2_000 + '"}]}', "the limit is 1000"),
        ('{"retry":{},"result":1}', "the document: 'retry' and 'fail' stand alone"),
        ('{"retry":{"after":"soon"}}', "/retry/after: "),
        ('{"outcome":1}', "/outcome"),
        ("[]", "the document"),
        ("{", "not JSON"),
        ('{"result":"' + "x" * 5_000 + '"}', "larger than the 4096 bytes"),
    ],
)
def test_an_invalid_outcome_fails_the_attempt(
    bench: Bench, site: Site, document: str, explanation: str
) -> None:
    site.answer(200, document.encode(), OUTCOME)

    failed = error(bench, site)
    assert failed.type == "http.outcome"
    assert explanation in failed.message
