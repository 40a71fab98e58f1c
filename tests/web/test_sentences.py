"""Sentences of the API on pages: times, links to runs, and buttons in place of requests."""

import pytest

from rota.web.sentences import sentence

RUN = "01a22b75-ffa8-7765-8d66-4b1a635690b2"


def test_a_time_in_a_sentence_is_an_element() -> None:
    shown = sentence("It is due at 2026-11-30T09:00:00.000Z.")

    assert shown.startswith('It is due at <time datetime="2026-11-30T09:00:00.000Z"')
    assert sentence("2026-99-30T09:00:00.000Z") == "2026-99-30T09:00:00.000Z"


def test_a_run_that_a_sentence_names_is_a_link() -> None:
    assert sentence(f"run {RUN} of task 'a' has ended as failed") == (
        f'run <a href="/ui/runs/{RUN}">{RUN}</a> of task &#39;a&#39; has ended as failed'
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("until POST /v1/tasks/a.b-1/resume. Fire", "until <b>Resume</b>. Fire"),
        ("waits for POST /v1/tasks/a/resume.", "waits for <b>Resume</b>."),
        ("on request (POST /v1/tasks/a/run).", "on request (<b>Run now</b>)."),
        (f"POST /v1/runs/{RUN}/rerun runs it", "<b>Run again</b> runs it"),
        ("PUT /v1/queues/mail lets it", '<a href="/ui/queues">Resume</a> lets it'),
        ("a worker: POST /v1/queues/mail/lease.", "a worker: POST /v1/queues/mail/lease."),
        ("<b>POST /v1/tasks/<i>/run", "&lt;b&gt;POST /v1/tasks/&lt;i&gt;/run"),
    ],
)
def test_a_request_that_a_page_has_a_button_for_is_that_button(text: str, expected: str) -> None:
    assert sentence(text) == expected
