"""Messages of events: every type, whatever is missing, and nothing that a target could slip in."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rota.domain.alerts.events import AlertEvent
from rota.domain.alerts.messages import TEST, Message, message_of, message_of_runs
from rota.domain.alerts.plain_text import subject_of, text_of
from rota.domain.alerts.received_events import Event
from rota.domain.alerts.slack import MOST_TEXT, slack_payload
from tests.support.alert_events import DATA, RUN, event

EVENTS = [*(f"alert.{each}" for each in AlertEvent), "alert.new"]


def told(type: str = "alert.failing", **data: Any) -> Message:
    made = event(type, **data)
    return message_of(Event(made["type"], made["timestamp"], made["data"]))


@pytest.mark.parametrize(
    ("type", "data", "title"),
    [
        ("alert.failing", {}, "nightly is failing (3 failures in a row)"),
        ("alert.failing", {"consecutive_failures": 1}, "nightly has failed"),
        ("alert.failing", {"kind": "failure_rate"}, "nightly fails too often"),
        ("alert.failing", {"kind": "no_success"}, "nightly has not succeeded in time"),
        ("alert.failing", {"kind": "no_ping"}, "nightly was not heard from in time"),
        ("alert.recovered", {}, "nightly has recovered"),
        ("alert.succeeded", {}, "nightly has succeeded"),
        ("alert.skipped", {"run": {"reason": "misfire"}}, "nightly was skipped (misfire)"),
        ("alert.skipped", {"run": None}, "nightly was skipped"),
        ("alert.late", {}, "nightly is late"),
        ("alert.on_time", {}, "nightly is on time again"),
        ("alert.new", {}, "nightly: alert.new"),
        ("alert.late", {"task": None}, "A task is late"),
    ],
)
def test_the_title_says_what_has_happened(type: str, data: Any, title: str) -> None:
    assert told(type, **data).title == title


def test_a_message_has_the_run_its_error_the_reply_and_links() -> None:
    message = told()

    assert message.summary == "3 runs in a row have failed."
    assert dict(message.facts) == {
        "Description": "Copies the contacts.",
        "Tags": "crm, team:billing",
        "Run": f"{RUN['id']}, attempt 3: failed (attempts_exhausted)",
        "Scheduled for": "2026-11-29 02:00:00 UTC",
        "Started": "2026-11-29 02:00:00 UTC",
        "Ended": "2026-11-29 02:07:12 UTC",
        "Took": "7 minutes and 12 seconds",
        "Since": "2026-11-27 02:07:12 UTC",
        "Failures in a row": "3",
        "Last success": "2026-11-26 02:04:01 UTC",
    }
    assert message.error == "http.status: 500 from crm.example.com"
    assert message.reply == '500 /jobs/nightly\n{"error": "column <foo> does not exist"}'
    assert [label for label, _ in message.links] == ["Run", "Logs", "Task"]


def test_of_runs_the_one_that_failed_is_shown_in_full() -> None:
    message = message_of_runs({"price": {"status": "succeeded", "error": None}, "load": RUN})

    assert message.title == "price succeeded, load failed (attempts_exhausted)"
    assert message.error == "http.status: 500 from crm.example.com"
    assert message.reply.startswith("500 /jobs/nightly")


def test_a_plain_text_is_readable_without_the_parts_that_are_missing() -> None:
    assert text_of(TEST) == f"{TEST.title}\n\n{TEST.summary}\n"
    assert "None" not in text_of(told("alert.late", run=None, since=None, last_success_at=None))


def test_slack_shows_markup_as_text_and_calls_nobody() -> None:
    hostile = "<!channel> <@U1> <https://evil.example|click> & @everyone @HERE ```"
    run = RUN | {"error": {"message": hostile, "response": {"status": 500, "body": hostile}}}

    shown = json.dumps(slack_payload(told(message=hostile, run=run)))

    assert not re.search(r"<(?!https://rota\.example\.com/)", shown)
    assert "@everyone" not in shown
    assert "@HERE" not in shown
    assert shown.count("```") == 4, "each reply is one block of code"


def test_slack_makes_no_links_of_what_a_target_has_written() -> None:
    run = RUN | {"error": {"message": "log in at https://evil.example", "response": None}}

    shown = list(_texts(slack_payload(told(run=run))["blocks"]))

    assert "https://evil.example" in json.dumps(shown)
    assert {each.get("verbatim", False) for each in shown if each["type"] == "mrkdwn"} == {True}


def _texts(value: Any) -> Iterator[dict[str, Any]]:
    """Yield the text objects in a payload."""
    for each in value.values() if isinstance(value, dict) else value:
        if isinstance(each, dict) and isinstance(each.get("text"), str):
            yield each
        elif isinstance(each, dict | list):
            yield from _texts(each)


def test_links_are_links_only_if_they_are_addresses() -> None:
    links = {"run": "/v1/runs/1", "logs": "javascript:alert(1)", "task": "https://a.example/x|y>z"}

    shown = slack_payload(told(links=links))["text"]

    assert "Run: /v1/runs/1 · Logs: javascript:alert(1) · Task: https://a.example/x|y&gt;z" in shown


anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3_000),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)
runs = anything | st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(RUN, anything)
    | {
        "error": st.dictionaries(
            st.sampled_from(["type", "message", "response"]),
            anything
            | st.fixed_dictionaries(
                {}, optional=dict.fromkeys(["status", "body", "url_path"], anything)
            ),
        )
    },
)


@settings(deadline=None, max_examples=30)
@given(
    type=st.sampled_from(EVENTS) | st.text(),
    data=st.fixed_dictionaries({}, optional=dict.fromkeys(DATA, anything) | {"run": runs}),
)
def test_whatever_an_event_has_it_becomes_a_message_within_the_limits(type: str, data: Any) -> None:
    message = message_of(Event(type, "", data))
    payload = slack_payload(message)
    subject, text = subject_of(message), text_of(message)

    assert len(payload["text"]) <= MOST_TEXT
    for block in payload["blocks"]:
        texts = [block["text"]] if "text" in block else block.get("fields", block.get("elements"))
        assert 1 <= len(texts) <= 10
        assert all(0 < len(each["text"]) <= 3_000 for each in texts[:1])
    assert len(payload["blocks"][0]["text"]["text"]) <= 150
    assert subject.isprintable() or not re.search(r"[\x00-\x1f\x7f]", subject)
    assert len(subject) <= 300
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text)
    assert len(text) < 20_000
    json.dumps(payload).encode()
    text.encode()


@settings(deadline=None, max_examples=30)
@given(runs=st.dictionaries(st.text(max_size=200), runs, min_size=1, max_size=5))
def test_whatever_runs_have_they_become_a_message(runs: Any) -> None:
    message = message_of_runs(runs)

    assert len(slack_payload(message)["text"]) <= MOST_TEXT
    text_of(message).encode()
