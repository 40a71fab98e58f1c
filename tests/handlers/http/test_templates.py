"""Entries and templates in requests, and templates for responses of APIs that know nothing of Rota."""

import json
import tracemalloc
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from rota.domain.http_target.target import Target
from rota.domain.kv.entries import KvChange, KvSnapshot
from rota.domain.primitives.bounds import STORED
from rota.domain.primitives.times.instants import format_instant
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Failed, Outcome, Succeeded
from rota.domain.secrets.opened import OpenedSecret
from tests.handlers.bench import Bench, Running
from tests.handlers.http.kv_calls import TABLE, Table, call, error, sent
from tests.handlers.target import OUTCOME, Site


def test_a_request_has_the_requested_entries_beside_the_input(bench: Bench, site: Site) -> None:
    running = bench.begin(
        "http",
        '{"kind":1}',
        target=site.target(kv=["cursor", "seen:*", "missing", "icon"]),
        load_kv=Table().load,
    )
    assert isinstance(running.outcome(), Succeeded)

    (got,) = site.received
    assert got.headers["content-type"] == "application/json"
    assert json.loads(got.body) == {
        "input": {"kind": 1},
        "kv": {
            "cursor": 8811,
            "seen:1": True,
            "seen:2": None,
            "missing": None,
            "icon": {"value": "iVBORw==", "encoding": "base64"},
        },
        "run": {
            "id": str(running.call.run_id),
            "attempt": 2,
            "failures": 1,
            "trigger": "schedule",
            "task": "some-task",
            "scheduled_for": format_instant(running.call.run.scheduled_for),
            "idempotency_key": str(running.call.run_id),
        },
    }


def test_the_input_is_data_and_no_template_and_the_table_is_not_read_without_entries(
    bench: Bench, site: Site
) -> None:
    table = Table()
    call(bench, site, '{"a":"{{ kv.cursor }}"}', table, query={"q": "{{ input.a }}"})

    (got,) = site.received
    assert got.body == b'{"a":"{{ kv.cursor }}"}'
    assert parse_qs(urlsplit(got.path).query) == {"q": ["{{ kv.cursor }}"]}
    assert table.reads == 0


def test_texts_are_templates_without_entries(bench: Bench, site: Site) -> None:
    running = bench.begin(
        "http",
        '{"id":"a/b","name":"Ada"}',
        target=site.target(
            path="/users/{{ input.id }}?at={{ scheduled_for }}",
            query={"name": "{{ input.name }}"},
            headers={"X-Task": '{{ task.name }} {{ task.id }} {{ input.who | default("nobody") }}'},
            body={"by": "{{ run.trigger }}", "failed": "{{ run.failures }}"},
        ),
    )
    assert isinstance(running.outcome(), Succeeded)

    (got,) = site.received
    at = format_instant(running.call.run.scheduled_for).replace(":", "%3A")
    assert got.path == f"/users/a%2Fb?at={at}&name=Ada"
    assert got.headers["x-task"] == f"some-task {running.call.run.task_id} nobody"
    assert json.loads(got.body) == {"by": "schedule", "failed": 1}


def test_an_asterisk_alone_requests_all_entries(bench: Bench, site: Site) -> None:
    got = sent(bench, site, kv=["*"])

    assert json.loads(got.body)["kv"].keys() == TABLE.entries.keys()


def test_a_body_of_the_target_is_a_template(bench: Bench, site: Site) -> None:
    body = {
        "since": "{{ kv.cursor }}",
        "text": "from {{ kv.cursor }} for {{ input.kind }}",
        "all": "{{ kv }}",
        "who": "{{ run.task }}/{{ run.attempt }}",
        "none": "{{ kv.missing }}",
        "out": "{{ input.missing? }}",
    }
    got = sent(bench, site, kv=["cursor", "missing"], body=body)

    assert json.loads(got.body) == {
        "since": 8811,
        "text": "from 8811 for 1",
        "all": {"cursor": 8811, "missing": None},
        "who": "some-task/2",
        "none": None,
    }


@pytest.mark.parametrize(
    ("body", "sent_as"), [("{{ kv.missing }}", b"null"), ("{{ input.missing? }}", b"")]
)
def test_a_body_that_is_filled_in_with_null_is_not_replaced_by_the_input(
    bench: Bench, site: Site, body: str, sent_as: bytes
) -> None:
    got = sent(bench, site, kv=["missing"], body=body)

    assert got.body == sent_as


def test_query_and_headers_are_templates_without_null_values(bench: Bench, site: Site) -> None:
    got = sent(
        bench,
        site,
        method="GET",
        kv=["cursor", "feed.etag", "missing", "seen:1"],
        query={
            "since": "{{ kv.cursor }}",
            "until": "{{ kv.missing }}",
            "flag": '{{ kv["seen:1"] }}',
            "n": 1,
            "t": "x{{ kv.missing }}",
        },
        headers={
            "If-None-Match": '{{ kv["feed.etag"] }}',
            "X-Missing": "{{ kv.missing }}",
            "X-Plain": "as it is",
        },
    )

    query = parse_qs(urlsplit(got.path).query)
    assert query == {"since": ["8811"], "flag": ["true"], "n": ["1"], "t": ["x"]}
    assert got.body == b""
    assert got.headers["if-none-match"] == '"v7"'
    assert got.headers["x-plain"] == "as it is"
    assert "x-missing" not in got.headers


@pytest.mark.parametrize("value", [b'"a\\r\\nX-Evil: 1"', '"Ł"'.encode()])
def test_an_invalid_header_value_fails_the_attempt_without_being_shown(
    bench: Bench, site: Site, value: bytes
) -> None:
    table = Table(KvSnapshot({"token": value}, 1))
    failed = error(call(bench, site, table=table, kv=["token"], headers={"X": "{{ kv.token }}"}))

    assert failed.type == "http.template"
    assert failed.message.startswith("the header 'X' cannot be sent")
    assert site.received == []


SECRETS = {"crm": "s3cr3t", "basic": "u:p"}


def with_secrets(bench: Bench, target: Target, input: str = "{}", **bound: Any) -> Running:
    """Begin a run whose claim has opened these secrets."""
    made = bench.call("http", input, target=target)
    origin = target.url.removesuffix(urlsplit(target.url).path)
    to = {"origins": (origin,)} | bound
    opened = tuple(OpenedSecret(name, value, **to) for name, value in SECRETS.items())
    running = Running(replace(made, run=replace(made.run, secrets=opened)))
    bench.executor.begin([running.call], running.done)
    return running


def test_secrets_are_filled_in_in_headers(bench: Bench, site: Site) -> None:
    headers = {
        "Authorization": "Basic {{ secret.basic | base64 }}",
        "X-Api-Key": "{{ secret.crm }}",
    }
    running = with_secrets(bench, site.target(headers=headers, kv=["count"]))

    assert isinstance(running.outcome(), Succeeded)
    (got,) = site.received
    assert got.headers["authorization"] == "Basic dTpw"
    assert got.headers["x-api-key"] == "s3cr3t"
    assert b"s3cr3t" not in got.body
    assert json.loads(got.body).keys() == {"input", "kv", "run"}


@pytest.mark.parametrize(
    "field",
    [
        {"body": "{{ secret.crm }}"},
        {"query": {"q": "{{ secret.crm }}"}},
        {"url": "http://127.0.0.1:{port}/{{ secret.crm }}"},
        {"kv_set": {"a": "{{ secret.crm }}"}},
    ],
)
def test_a_stored_target_sends_no_secret_elsewhere(
    bench: Bench, site: Site, field: dict[str, Any]
) -> None:
    fields = {"url": f"http://127.0.0.1:{site.port}/"} | field
    fields["url"] = fields["url"].replace("{port}", str(site.port))
    target = Target.model_validate(fields, context=STORED)

    failed = error(with_secrets(bench, target).outcome())

    assert failed.type in {"http.template", "http.kv_set"}
    assert failed.message.endswith("there is no secret.crm")
    assert all(b"s3cr3t" not in each.body for each in site.received)


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        ("{{ secret.crm.x }}", "http.template"),
        ("{{ secret.crm | iso }}", "http.template"),
        ("{{ secret.no }}", "secret.missing"),
    ],
)
def test_an_error_about_a_secret_does_not_quote_it(
    bench: Bench, site: Site, header: str, kind: str
) -> None:
    fields = {"url": f"http://127.0.0.1:{site.port}/", "headers": {"X": header}}

    failed = error(with_secrets(bench, Target.model_validate(fields, context=STORED)).outcome())

    assert failed.type == kind
    assert "s3cr3t" not in failed.message
    assert site.received == []


def test_an_error_does_not_tell_what_a_secret_of_others_is_bound_to(
    bench: Bench, site: Site
) -> None:
    target = site.target(headers={"X-Api-Key": "{{ secret.crm }}"})
    theirs: dict[str, Any] = {
        "origins": ("https://theirs.example",),
        "tasks": ("theirs-*",),
    }

    failed = error(with_secrets(bench, target, **theirs).outcome())

    assert failed.type == "secret.not_permitted"
    assert "theirs" not in failed.message


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"body": "{{ anything"}, "'{{ anything' is no reference such as"),
        ({"body": {"a": "{{ name }}"}}, "there is no name"),
        ({"query": {"a": "{{ kv.cursor }}"}}, "there is no kv.cursor: kv has no field 'cursor'"),
        ({"url": "http://{{ input.host }}/"}, "scheme, host and port are written out"),
    ],
)
def test_a_target_stored_when_braces_were_braces_fails_at_its_run_and_says_why(
    bench: Bench, site: Site, stored: dict[str, Any], message: str
) -> None:
    target = {"url": f"http://127.0.0.1:{site.port}/"} | stored

    failed = error(
        bench.run(
            "http",
            '{"host":"127.0.0.1"}',
            target=Target.model_validate(target, context=STORED),
        )
    )

    assert failed.type == "http.template"
    assert message in failed.message
    assert site.received == []


def test_a_stored_header_that_is_reserved_is_not_sent(bench: Bench, site: Site) -> None:
    stored = {"url": f"http://127.0.0.1:{site.port}/", "headers": {"TE": "trailers", "X-A": "1"}}

    bench.run("http", target=Target.model_validate(stored, context=STORED))

    (got,) = site.received
    assert "te" not in got.headers
    assert got.headers["x-a"] == "1"


def test_a_request_with_a_missing_reference_is_not_sent(bench: Bench, site: Site) -> None:
    failed = error(call(bench, site, kv=["cursor"], body={"a": ["{{ input.who.name }}"]}))

    assert failed == RunError(
        "http.template",
        "the request needs it, but there is no input.who.name: input has no field 'who'",
    )
    assert site.received == []


def moved(bench: Bench, site: Site, body: Any, **fields: Any) -> Outcome:
    site.answer(200, json.dumps(body).encode(), "application/json", ETag='"v8"')
    return call(bench, site, **fields)


def test_templates_write_values_of_the_response_to_the_table(bench: Bench, site: Site) -> None:
    kv_set = {
        "cursor": "{{ result.body.next }}",
        "last": "{{ result.body.items[-1] }}",
        "etag": "{{ result.headers.etag }}",
        "note": {
            "at": "{{ run.scheduled_for }}",
            "said": "{{ result.status }}, was {{ kv.cursor }}",
        },
        "constant": 5.0,
    }
    outcome = moved(
        bench, site, {"next": 9000, "items": [1, {"a": 2}]}, kv=["cursor"], kv_set=kv_set
    )

    assert isinstance(outcome, Succeeded), outcome
    written = {each.key: each.value for each in outcome.changes if isinstance(each, KvChange)}
    assert written.pop("note", b"").endswith(b'"said":"200, was 8811"}')  # type: ignore[union-attr]
    assert written == {
        "cursor": b"9000",
        "last": b'{"a":2}',
        "etag": b'"\\"v8\\""',
        "constant": b"5.0",
    }
    assert outcome.kv_revision == TABLE.revision
    assert json.loads(outcome.result)["body"]["next"] == 9000


def test_a_reference_missing_in_the_response_fails_the_attempt_and_is_named(
    bench: Bench, site: Site
) -> None:
    kv_set = {"a": 1, "cursor": "{{ result.body.next }}"}

    failed = error(moved(bench, site, {"nxt": 1}, kv_set=kv_set))

    assert failed == RunError(
        "http.kv_set",
        "/target/kv_set/cursor cannot be written: there is no result.body.next: result.body has no field 'next'",
    )


def test_a_missing_optional_reference_does_not_change_the_entry(bench: Bench, site: Site) -> None:
    kv_set = {"cursor": "{{ result.body.next? }}", "other": "{{ result.body.other? }}"}

    outcome = moved(bench, site, {"other": None}, kv_set=kv_set)

    assert isinstance(outcome, Succeeded)
    assert outcome.changes == (KvChange("other", b"null"),)


def test_a_response_that_failed_or_is_an_outcome_writes_no_templates(
    bench: Bench, site: Site
) -> None:
    site.answer(503, b'{"next":1}', "application/json")
    assert isinstance(call(bench, site, kv_set={"cursor": "{{ result.body.next }}"}), Failed)

    site.answer(200, b'{"result":1}', OUTCOME)
    outcome = call(bench, site, kv_set={"cursor": "{{ result.body.next }}"})
    assert isinstance(outcome, Succeeded)
    assert outcome.changes == ()


def test_a_value_that_is_too_large_fails_the_attempt(bench: Bench, site: Site) -> None:
    failed = error(moved(bench, site, "x" * 2_000, kv_set={"all": "{{ result.body }}"}))

    assert failed.type == "http.kv_set"
    assert failed.message == (
        "/target/kv_set/all cannot be written: its references come to more than 1,000 bytes, which is the limit"
    )


BIG = KvSnapshot({"big": json.dumps("x" * 250_000).encode()}, revision=7)


@pytest.mark.parametrize(
    "fields",
    [
        {"body": ["{{ kv.big }}"] * 900},
        {"body": {"a": "{{ kv.big }}{{ kv.big }}" * 400}},
        {"body": "{{ kv }}" * 900},
        {"query": {f"q{n}": "{{ kv.big }}" for n in range(60)}},
        {"headers": {f"x-{n}": "{{ kv.big }}" for n in range(60)}},
        {"body": ["y" * 900_000, "{{ kv.big }}"]},
    ],
)
def test_a_request_that_references_make_too_large_is_not_sent(
    bench: Bench, site: Site, fields: dict[str, Any]
) -> None:
    tracemalloc.start()
    failed = error(call(bench, site, table=Table(BIG), kv=["big"], **fields))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert failed.type == "http.template"
    assert "1,048,576" in failed.message
    assert site.received == []
    assert peak < 30_000_000


def test_a_value_that_references_make_too_large_is_not_built(bench: Bench, site: Site) -> None:
    tracemalloc.start()
    for template in (["{{ result.body }}"] * 900, "{{ result.body }}" * 900):
        failed = error(moved(bench, site, "x" * 900, kv_set={"all": template}))
        assert "more than 1,000 bytes" in failed.message
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 10_000_000
