import gzip
import json
import logging
import socket
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.domain.http_target.phases import CallPhase
from rota.domain.http_target.target import Target
from rota.domain.primitives.times.instants import format_instant
from rota.domain.reasons import FailReason
from rota.domain.runs.errors import ErrorResponse, RunError
from rota.domain.runs.outcomes import Cancelled, Failed, Fatal, RetryRequested, Succeeded
from rota.domain.secrets.opened import OpenedSecret
from rota.domain.trace_context import traceparent_of_attempt
from rota.handlers.http.exchange import retry_after
from tests.egress import hostile
from tests.handlers.bench import CLOCK, Bench, wait_until
from tests.handlers.target import Site, error, get, result


def refused(status: int, headers: dict[str, str] | None = None) -> RunError:
    """The error of a call that was answered with a status and no body."""
    response = ErrorResponse(status, headers or {}, None, url_path="/")
    return RunError("http.status", f"{status} from 127.0.0.1", response=response)


def test_the_input_is_the_body_and_headers_identify_the_run(bench: Bench, site: Site) -> None:
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
        "x-rota-chain": run_id,
        "x-rota-attempt": "2",
        "x-rota-scheduled-for": format_instant(running.call.run.scheduled_for),
        "accept-encoding": "identity",
    }
    assert expected.items() <= got.headers.items()
    assert got.headers["user-agent"].startswith("rota")


TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_the_trace_of_the_run_is_passed_on_with_a_span_of_the_attempt(
    bench: Bench, site: Site
) -> None:
    running = bench.begin("http", target=site.target("/"), traceparent=TRACEPARENT)
    assert isinstance(running.outcome(), Succeeded)
    get(bench, site)

    passed, bare = site.received
    run = running.call.run
    assert passed.headers["traceparent"] == traceparent_of_attempt(TRACEPARENT, run.id, run.attempt)
    assert passed.headers["traceparent"] != TRACEPARENT
    assert "traceparent" not in bare.headers


def test_a_trace_that_the_target_gives_itself_is_sent(bench: Bench, site: Site) -> None:
    own = TRACEPARENT.replace("4", "5")
    target = site.target("/", headers={"Traceparent": own})
    running = bench.begin("http", target=target, traceparent=TRACEPARENT)

    assert isinstance(running.outcome(), Succeeded)
    (got,) = site.received
    assert got.headers["traceparent"] == own


def test_the_target_determines_the_request(bench: Bench, site: Site) -> None:
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
def test_a_text_whose_type_is_not_json_is_sent_unchanged(
    bench: Bench, site: Site, content_type: str, body: Any, sent: bytes
) -> None:
    get(bench, site, headers={"content-TYPE": content_type}, body=body)
    get(bench, site, input=json.dumps(body), headers={"content-TYPE": content_type})
    get(bench, site, headers={"content-TYPE": content_type}, body=body, kv=["k"])

    assert [each.body for each in site.received] == [sent] * 3
    assert site.received[0].headers["content-type"] == content_type


def test_a_text_that_its_charset_cannot_encode_fails_and_is_not_sent(
    bench: Bench, site: Site
) -> None:
    headers = {"Content-Type": "text/plain; charset=us-ascii"}

    failed = error(bench, site, headers=headers, body="M\xfcller")

    assert failed == RunError(
        "http.body", "the body cannot be sent: it has characters that us-ascii does not have"
    )
    assert site.received == []


def test_a_body_that_arrives_slowly_times_out(bench: Bench, site: Site) -> None:
    site.drips = True

    assert error(bench, site, timeout=0.3) == RunError(
        "http.timeout", "no complete response from 127.0.0.1 within 0.3 s"
    )


def test_an_endless_body_ends_at_the_limit_or_by_a_cancel(bench: Bench, site: Site) -> None:
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
def test_retry_codes_cause_another_attempt(bench: Bench, site: Site, status: int) -> None:
    site.answer(status)

    assert error(bench, site) == refused(status)


@pytest.mark.parametrize("status", [400, 401, 404, 422])
def test_other_codes_fail_the_run(bench: Bench, site: Site, status: int) -> None:
    site.answer(status)

    assert error(bench, site, Fatal) == refused(status)


def test_the_response_of_the_target_is_stored_with_the_error(bench: Bench, site: Site) -> None:
    body = b'{"error":"no such customer"}'
    site.answer(400, body, "application/json", X_Request_Id="r7", Set_Cookie="session=1")

    assert error(bench, site, Fatal).response == ErrorResponse(
        400, {"content-type": "application/json", "x-request-id": "r7"}, body.decode(), url_path="/"
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
def test_the_first_two_kibibytes_of_the_body_are_stored(
    bench: Bench, site: Site, body: bytes, content_type: str, shown: str | None, truncated: bool
) -> None:
    site.answer(500, body, content_type)

    response = error(bench, site).response
    assert response is not None
    assert (response.body, response.truncated) == (shown, truncated)


def test_a_compressed_body_of_a_failed_call_is_stored_as_text(bench: Bench, site: Site) -> None:
    site.answer(500, gzip.compress(b"broken", mtime=0), "text/plain", Content_Encoding="gzip")

    response = error(bench, site).response
    assert response is not None
    assert response.body == "broken"


def test_the_target_chooses_its_codes(bench: Bench, site: Site) -> None:
    site.answer(404)
    assert result(bench, site, success_codes=[404])["status"] == 404
    assert error(bench, site, retry_codes=["4xx"]).message == "404 from 127.0.0.1"


def test_status_gone_has_its_own_reason(bench: Bench, site: Site) -> None:
    site.answer(410)

    assert get(bench, site) == Fatal(refused(410), FailReason.TARGET_GONE)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        ("0", 0),
        ("0000000000120", 120),
        ("86401", 86_400),
        ("1000000000", 86_400),
        ("9" * 400, 86_400),
        ("Fri, 01 Jan 1971 00:00:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400),
    ],
)
def test_retry_after_is_honoured_up_to_a_day(
    bench: Bench, site: Site, text: str, seconds: int
) -> None:
    site.answer(503, Retry_After=text)

    requested = timedelta(seconds=seconds)
    error = refused(503, {"retry-after": text})
    assert get(bench, site) == RetryRequested(requested, error, lengthens=True)


def test_retry_after_may_be_a_date(bench: Bench, site: Site) -> None:
    site.answer(429, Retry_After=format_datetime(CLOCK.now() + timedelta(hours=1), usegmt=True))

    outcome = get(bench, site)
    assert isinstance(outcome, RetryRequested)
    assert outcome.after is not None
    assert outcome.lengthens
    assert timedelta(minutes=59) < outcome.after <= timedelta(hours=1)


@given(st.text("0123456789 ,:+-GMTadehinoruJF", max_size=40) | st.text(max_size=12))
def test_any_retry_after_is_a_wait_of_up_to_a_day_or_none(text: str) -> None:
    wait = retry_after(text, CLOCK.now())

    assert wait is None or timedelta() <= wait <= timedelta(days=1)


@pytest.mark.parametrize("text", ["soon", "-1", "Mon, 99 Foo 2026 99:99:99 GMT", "1.5", "1 2"])
def test_an_invalid_retry_after_is_ignored(bench: Bench, site: Site, text: str) -> None:
    site.answer(503, Retry_After=text)

    assert isinstance(get(bench, site), Failed)


def test_a_refused_connection_is_attempted_again(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    outcome = bench.run("http", target=Target(url=f"http://127.0.0.1:{port}/x?token=secret"))

    assert isinstance(outcome, Failed)
    assert outcome.error.type == "http.connect"
    assert outcome.error.message.startswith("127.0.0.1: ")
    assert "secret" not in outcome.error.message


def test_a_closed_connection_is_attempted_again(bench: Bench, site: Site) -> None:
    site.hangs_up = True

    assert error(bench, site).type == "http.protocol"


@pytest.mark.parametrize("url", ["http://ex ample.com:1/", "http://[::1/", "http://a..b:1/?t=x"])
def test_an_invalid_url_fails_without_being_shown(bench: Bench, url: str) -> None:
    outcome = bench.run(
        "http", target=Target.model_construct(url=url, timeout=timedelta(seconds=5))
    )

    assert isinstance(outcome, Failed | Fatal), outcome
    assert "t=x" not in outcome.error.message


@pytest.mark.parametrize("value", ["Bearer secret ", "\tBearer secret"])
def test_white_space_around_a_header_is_not_part_of_its_value(
    bench: Bench, site: Site, value: str
) -> None:
    get(bench, site, headers={"Authorization": value})

    assert site.received[0].headers["authorization"] == value.strip()


def test_an_invalid_request_fails_without_showing_its_headers(bench: Bench, site: Site) -> None:
    target = site.target().model_copy(update={"headers": {"X": "a\rsecret"}})

    outcome = bench.run("http", target=target)

    assert isinstance(outcome, Failed), outcome
    assert "secret" not in outcome.error.message


def test_the_url_is_not_logged(bench: Bench, site: Site, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        get(bench, site, path="/?token=secret")

    assert "secret" not in caplog.text


def test_a_task_that_runs_again_uses_the_connection_of_its_last_run(bench: Bench) -> None:
    with hostile.serving(hostile.always(hostile.OK)) as server:
        for _ in range(3):
            outcome = bench.run("http", target=Target(url=server.url()))
            assert isinstance(outcome, Succeeded), outcome

        assert (server.connections, len(server.requests)) == (1, 3)


def test_what_rota_sends_of_each_attempt_needs_no_connection_of_its_own(bench: Bench) -> None:
    secret = OpenedSecret("signing", "whsec_" + "A" * 32, origins=("http://127.0.0.1:1",))
    with hostile.serving(hostile.always(hostile.OK)) as server:
        secret = replace(secret, origins=(server.url("").rstrip("/"),))
        target = Target.model_validate(
            {"url": server.url(), "async": True, "signature": {"secret": "signing"}}
        )
        for token in "abc":
            outcome = bench.run("http", target=target, token=token * 43, secrets=(secret,))
            assert isinstance(outcome, Succeeded), outcome

        assert (server.connections, len(server.requests)) == (1, 3)


def test_a_target_may_have_its_redirects_followed(bench: Bench) -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: /there?t=1\r\nContent-Length: 0\r\n\r\n"
    gone = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    with hostile.serving(hostile.always(moved, gone)) as server:
        outcome = bench.run("http", target=Target(url=server.url(), follow_redirects=1))

    assert isinstance(outcome, Fatal), outcome
    assert outcome.error.response is not None
    assert (outcome.error.response.status, outcome.error.response.url_path) == (404, "/there")


def test_a_refused_target_fails_for_good_and_is_not_contacted(bench: Bench) -> None:
    outcome = bench.run(
        "http", target=Target.model_construct(url="http://169.254.169.254/latest?token=x")
    )

    assert outcome == Fatal(
        RunError(
            "http.forbidden", "169.254.169.254: Rota may not connect to it (ROTA_HTTP_TARGETS)"
        )
    )


def test_a_call_that_fails_says_in_which_phase_and_how_long_each_took(
    bench: Bench, site: Site
) -> None:
    site.drips = True

    dripping = error(bench, site, timeout=0.2)

    assert dripping.phase is CallPhase.READ
    assert dripping.timings is not None
    assert list(dripping.timings) == ["dns", "connect", "write", "wait", "read"]
    assert 0.15 < sum(dripping.timings.values()) < 5
