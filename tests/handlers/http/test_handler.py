import gzip
import json
import logging
import socket
import zlib
from collections.abc import Iterator
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from rota.domain.http_target.target import Target
from rota.domain.kv.entries import KvChange
from rota.domain.primitives.instants import format_instant
from rota.domain.reasons import FailReason
from rota.domain.runs.errors import ErrorResponse, RunError
from rota.domain.runs.outcomes import Cancelled, Failed, Fatal, RetryRequested, Succeeded
from tests.handlers.bench import CLOCK, Bench, wait_until
from tests.handlers.target import Site, serving

OUTCOME = "application/vnd.rota.outcome+json"


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        yield site


def get(bench: Bench, site: Site, input: str = "{}", **said: Any) -> Any:
    return bench.run("http", input, target=site.target(**said))


def result(bench: Bench, site: Site, **said: Any) -> Any:
    outcome = get(bench, site, **said)
    assert isinstance(outcome, Succeeded), outcome
    return json.loads(outcome.result)


def error(bench: Bench, site: Site, kind: type[Failed | Fatal] = Failed, **said: Any) -> RunError:
    outcome = get(bench, site, **said)
    assert isinstance(outcome, kind), outcome
    return outcome.error


def refused(status: int, headers: dict[str, str] | None = None) -> RunError:
    """The error of a call that was answered with a status and no body."""
    response = ErrorResponse(status, headers or {}, None)
    return RunError("http.status", f"{status} from 127.0.0.1", response=response)


def test_the_input_is_the_body_and_the_headers_say_whose_it_is(bench: Bench, site: Site) -> None:
    running = bench.begin("http", '{"kind":"dümmlich"}', target=site.target("/jobs?a=1"))

    assert isinstance(running.outcome(), Succeeded)
    (got,) = site.received
    assert (got.method, got.path) == ("POST", "/jobs?a=1")
    assert got.body == '{"kind":"dümmlich"}'.encode()
    run_id = str(running.call.run_id)
    expected = {
        "host": f"127.0.0.1:{site.port}",
        "content-type": "application/json",
        "idempotency-key": run_id,
        "x-rota-task": "some-task",
        "x-rota-run": run_id,
        "x-rota-attempt": "2",
        "x-rota-scheduled-for": format_instant(running.call.scheduled_for),
        "accept-encoding": "identity",
    }
    assert expected.items() <= got.headers.items()
    assert got.headers["user-agent"].startswith("rota")


def test_the_target_says_what_is_sent(bench: Bench, site: Site) -> None:
    get(
        bench,
        site,
        path="/x?a=1",
        method="PUT",
        body=["given"],
        query={"b": "2 3", "c": True, "d": 1.5},
        headers={
            "content-type": "application/vnd.shop+json",
            "Authorization": "Bearer secret",
            "X-Name": "M\xfcller",
            "accept-encoding": "gzip",
        },
    )

    (got,) = site.received
    assert (got.method, got.path) == ("PUT", "/x?a=1&b=2+3&c=true&d=1.5")
    assert got.body == b'["given"]'
    assert got.headers["content-type"] == "application/vnd.shop+json"
    assert got.headers["authorization"] == "Bearer secret"
    assert got.headers["x-name"] == "M\xfcller"
    assert got.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_methods_without_a_body_send_none_unless_the_target_has_one(
    bench: Bench, site: Site, method: str
) -> None:
    site.answer(200)
    get(bench, site, '{"a":1}', method=method)
    get(bench, site, '{"a":1}', method=method, body={"b": 2})

    without, with_one = site.received
    assert (without.method, without.body) == (method, b"")
    assert "content-type" not in without.headers
    assert with_one.body == b'{"b":2}'


def test_a_reply_is_the_result_with_chosen_headers(bench: Bench, site: Site) -> None:
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
def test_bodies_are_json_or_text_that_can_be_kept(
    bench: Bench, site: Site, content_type: str, sent: bytes, body: Any
) -> None:
    site.answer(200, sent, content_type)

    assert result(bench, site)["body"] == body


@pytest.mark.parametrize("content_type", ["image/png", "application/octet-stream", ""])
def test_of_other_bodies_only_the_size_is_kept(bench: Bench, site: Site, content_type: str) -> None:
    site.answer(200, b"\x89PNG\x00", content_type)

    kept = result(bench, site)
    assert (kept["body"], kept["body_bytes"]) == (None, 5)


def test_of_a_compressed_bomb_no_more_than_the_limit_is_made(bench: Bench, site: Site) -> None:
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
def test_a_body_that_is_compressed_unasked_is_read(
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
def test_of_many_compressed_parts_no_more_is_read_than_the_limit(
    bench: Bench, site: Site, packed: bytes
) -> None:
    site.answer(200, packed, "text/plain", Content_Encoding="gzip")

    kept = result(bench, site)
    assert (kept["body"], kept["truncated"]) == ("0" * 4_096, True)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [("br", b"\x0b\x03"), ("gzip", b"no gzip at all"), ("deflate", b"nor deflate")],
)
def test_a_body_that_cannot_be_decompressed_is_told_by_its_size(
    bench: Bench, site: Site, encoding: str, body: bytes
) -> None:
    site.answer(200, body, "text/plain", Content_Encoding=encoding)

    kept = result(bench, site)
    assert (kept["body"], kept["body_bytes"]) == (None, len(body))
    assert kept["headers"]["content-encoding"] == encoding


def test_an_outcome_that_cannot_be_decompressed_fails_and_says_so(bench: Bench, site: Site) -> None:
    site.answer(200, b"?", OUTCOME, Content_Encoding="br")

    assert error(bench, site).message == (
        "the outcome in the reply cannot be taken: its Content-Encoding is 'br', and cannot be read"
    )


def test_an_outcome_that_is_compressed_is_followed(bench: Bench, site: Site) -> None:
    site.answer(200, gzip.compress(b'{"result": 7}', mtime=0), OUTCOME, Content_Encoding="gzip")

    assert result(bench, site) == 7


@pytest.mark.parametrize(
    ("content_type", "shown"), [("application/json", {"a": 1}), ("text/plain", '{"a":1}')]
)
def test_a_byte_order_mark_is_no_part_of_a_body(
    bench: Bench, site: Site, content_type: str, shown: Any
) -> None:
    site.answer(200, b'\xef\xbb\xbf{"a":1}', content_type)

    assert result(bench, site)["body"] == shown


def test_a_byte_order_mark_is_no_part_of_an_outcome(bench: Bench, site: Site) -> None:
    site.answer(200, b'\xef\xbb\xbf{"result": 7}', OUTCOME)

    assert result(bench, site) == 7


@pytest.mark.parametrize(
    ("content_type", "body", "sent"),
    [
        ("application/x-www-form-urlencoded", "a=1&b=2", b"a=1&b=2"),
        ("text/plain", '"quoted"', b'"quoted"'),
        ("text/plain; charset=iso-8859-1", "M\xfcller", b"M\xfcller"),
        ("text/plain; charset=UTF-8; format=flowed", "M\xfcller", b"M\xc3\xbcller"),
        ("text/csv; charset=rot13", "abc", b"abc"),
        ("application/xml", "<a/>", b"<a/>"),
        ("application/json", "a text", b'"a text"'),
        ("application/vnd.shop+json", "a text", b'"a text"'),
        ("application/x-www-form-urlencoded", {"a": 1}, b'{"a":1}'),
    ],
)
def test_a_text_of_another_type_than_json_is_sent_as_it_is(
    bench: Bench, site: Site, content_type: str, body: Any, sent: bytes
) -> None:
    get(bench, site, headers={"content-TYPE": content_type}, body=body)
    get(bench, site, input=json.dumps(body), headers={"content-TYPE": content_type})
    get(bench, site, headers={"content-TYPE": content_type}, body=body, kv=["k"])

    assert [each.body for each in site.received] == [sent] * 3
    assert site.received[0].headers["content-type"] == content_type


def test_a_text_that_its_charset_does_not_have_fails_and_is_not_sent(
    bench: Bench, site: Site
) -> None:
    headers = {"Content-Type": "text/plain; charset=us-ascii"}

    failed = error(bench, site, headers=headers, body="M\xfcller")

    assert failed == RunError(
        "http.body", "the body cannot be sent: it has characters that us-ascii does not have"
    )
    assert site.received == []


def test_of_a_huge_body_only_the_beginning_is_read(bench: Bench, site: Site) -> None:
    site.answer(200, b"x" * 10_000_000, "text/plain")

    kept = result(bench, site)
    assert kept["body"] == "x" * 4_096
    assert kept["truncated"] is True


def test_a_body_that_drips_meets_the_deadline(bench: Bench, site: Site) -> None:
    site.drips = True

    assert error(bench, site, timeout=0.3) == RunError(
        "http.timeout", "no complete reply from 127.0.0.1 within 0.3 s"
    )


def test_a_body_that_drips_for_ever_ends_at_the_limit_or_a_cancel(bench: Bench, site: Site) -> None:
    site.drips = True
    running = bench.begin("http", target=site.target(timeout=60))
    wait_until(lambda: site.received, "no request came")

    bench.cancel(running)

    assert running.outcome() == Cancelled()


def test_redirects_are_not_followed(bench: Bench, site: Site) -> None:
    site.answer(302, Location=f"http://127.0.0.1:{site.port}/elsewhere")

    failed = error(bench, site, Fatal)
    assert failed.message == "302 from 127.0.0.1"
    assert failed.response is not None
    assert failed.response.headers["location"].endswith("/elsewhere")
    assert result(bench, site, success_codes=["3xx"])["headers"]["location"].endswith("elsewhere")
    assert [each.path for each in site.received] == ["/", "/"]


def test_cookies_are_not_kept(bench: Bench, site: Site) -> None:
    site.answer(200, Set_Cookie="session=1")
    get(bench, site)
    get(bench, site)

    assert "cookie" not in site.received[1].headers


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 503])
def test_codes_that_pass_are_tried_again(bench: Bench, site: Site, status: int) -> None:
    site.answer(status)

    assert error(bench, site) == refused(status)


@pytest.mark.parametrize("status", [400, 401, 404, 422])
def test_other_codes_fail_for_good(bench: Bench, site: Site, status: int) -> None:
    site.answer(status)

    assert error(bench, site, Fatal) == refused(status)


def test_what_the_target_answered_is_kept_with_the_error(bench: Bench, site: Site) -> None:
    body = b'{"error":"no such customer"}'
    site.answer(400, body, "application/json", X_Request_Id="r7", Set_Cookie="session=1")

    assert error(bench, site, Fatal).response == ErrorResponse(
        400, {"content-type": "application/json", "x-request-id": "r7"}, body.decode()
    )


@pytest.mark.parametrize(
    ("body", "content_type", "shown", "truncated"),
    [
        (b"x" * 2_048, "text/plain", "x" * 2_048, False),
        (b"x" * 2_049, "text/plain", "x" * 2_048, True),
        ("\xe9".encode() * 1_500, "text/plain", "\xe9" * 1_024, True),
        (b"x" + "\xe9".encode() * 1_500, "text/plain", "x" + "\xe9" * 1_023, True),
        (b"x" * 10_000, "", "x" * 2_048, True),
        (b"\x89PNG", "image/png", None, False),
        (b"a\x00b", "", None, False),
        (b"a\x00b", "text/plain", "a\\x00b", False),
        (b"", "text/plain", None, False),
    ],
)
def test_of_the_body_the_first_two_kibibytes_are_kept(
    bench: Bench, site: Site, body: bytes, content_type: str, shown: str | None, truncated: bool
) -> None:
    site.answer(500, body, content_type)

    response = error(bench, site).response
    assert response is not None
    assert (response.body, response.truncated) == (shown, truncated)


def test_a_compressed_body_of_a_failed_call_is_kept_as_text(bench: Bench, site: Site) -> None:
    site.answer(500, gzip.compress(b"broken", mtime=0), "text/plain", Content_Encoding="gzip")

    response = error(bench, site).response
    assert response is not None
    assert response.body == "broken"


def test_the_target_chooses_its_codes(bench: Bench, site: Site) -> None:
    site.answer(404)
    assert result(bench, site, success_codes=[404])["status"] == 404
    assert error(bench, site, retry_codes=["4xx"]).message == "404 from 127.0.0.1"


def test_gone_says_so(bench: Bench, site: Site) -> None:
    site.answer(410)

    assert get(bench, site) == Fatal(refused(410), FailReason.TARGET_GONE)


@pytest.mark.parametrize(
    ("text", "seconds"), [("120", 120), ("0", 0), ("999999999", 86_400), ("9" * 400, 86_400)]
)
def test_retry_after_is_heeded_up_to_a_day(
    bench: Bench, site: Site, text: str, seconds: int
) -> None:
    site.answer(503, Retry_After=text)

    asked = timedelta(seconds=seconds)
    error = refused(503, {"retry-after": text})
    assert get(bench, site) == RetryRequested(asked, error, lengthens=True)


def test_retry_after_may_be_a_date(bench: Bench, site: Site) -> None:
    site.answer(429, Retry_After=format_datetime(CLOCK.now() + timedelta(hours=1), usegmt=True))

    outcome = get(bench, site)
    assert isinstance(outcome, RetryRequested)
    assert outcome.after is not None
    assert outcome.lengthens
    assert timedelta(minutes=59) < outcome.after <= timedelta(hours=1)


@pytest.mark.parametrize("text", ["soon", "-1", "Mon, 99 Foo 2026 99:99:99 GMT", "1.5"])
def test_a_retry_after_that_is_none_is_not(bench: Bench, site: Site, text: str) -> None:
    site.answer(503, Retry_After=text)

    assert isinstance(get(bench, site), Failed)


def test_a_port_that_nobody_listens_on_is_tried_again(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    outcome = bench.run("http", target=Target(url=f"http://127.0.0.1:{port}/x?token=secret"))

    assert isinstance(outcome, Failed)
    assert outcome.error.type == "http.connect"
    assert outcome.error.message.startswith("127.0.0.1: ")
    assert "secret" not in outcome.error.message


def test_a_server_that_hangs_up_is_tried_again(bench: Bench, site: Site) -> None:
    site.hangs_up = True

    assert error(bench, site).type == "http.protocol"


@pytest.mark.parametrize("url", ["http://ex ample.com:1/", "http://[::1/", "http://a..b:1/?t=x"])
def test_a_url_that_cannot_be_used_fails_without_showing_it(bench: Bench, url: str) -> None:
    outcome = bench.run(
        "http", target=Target.model_construct(url=url, timeout=timedelta(seconds=5))
    )

    assert isinstance(outcome, Failed), outcome
    assert "t=x" not in outcome.error.message


@pytest.mark.parametrize("value", ["Bearer secret ", "\tBearer secret"])
def test_white_space_around_a_header_is_no_part_of_its_value(
    bench: Bench, site: Site, value: str
) -> None:
    get(bench, site, headers={"Authorization": value})

    assert site.received[0].headers["authorization"] == value.strip()


def test_a_request_that_cannot_be_sent_fails_without_showing_its_headers(
    bench: Bench, site: Site
) -> None:
    target = site.target().model_copy(update={"headers": {"X": "a\rsecret"}})

    outcome = bench.run("http", target=target)

    assert isinstance(outcome, Failed), outcome
    assert "secret" not in outcome.error.message


def test_nothing_of_the_url_is_logged(
    bench: Bench, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        get(bench, site, path="/?token=secret")

    assert "secret" not in caplog.text


def test_a_reply_can_say_what_the_attempt_comes_to(bench: Bench, site: Site) -> None:
    document = {
        "result": {"new": 3},
        "kv": [
            {"op": "set", "key": "cursor", "value": "8812"},
            {"op": "set", "key": "seen", "value": 1, "ttl": "1h"},
            {"op": "delete", "key": "name"},
        ],
    }
    site.answer(200, json.dumps(document).encode(), f"{OUTCOME}; charset=utf-8")

    assert get(bench, site) == Succeeded(
        '{"new":3}',
        (
            KvChange("cursor", b'"8812"'),
            KvChange("seen", b"1", timedelta(hours=1)),
            KvChange("name", None),
        ),
        5,
    )


@pytest.mark.parametrize("status", [200, 503])
def test_a_reply_can_ask_for_a_retry_or_fail_whatever_its_status(
    bench: Bench, site: Site, status: int
) -> None:
    site.answer(status, b'{"retry":{"after":30,"reason":"rate limited"}}', OUTCOME)
    assert get(bench, site) == RetryRequested(
        timedelta(seconds=30), RunError("retry", "rate limited")
    )

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
        ('{"kv":[{"op":"set","key":"a"}]}', "/kv/0/value: this member is required"),
        ('{"kv":[{"op":"set","key":"a","value":1,"by":1}]}', "/kv/0/by: this member is not known"),
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
def test_an_outcome_that_cannot_be_taken_fails_the_attempt(
    bench: Bench, site: Site, document: str, explanation: str
) -> None:
    site.answer(200, document.encode(), OUTCOME)

    failed = error(bench, site)
    assert failed.type == "http.outcome"
    assert explanation in failed.message
