"""Texts of a target that are not sent as they were meant."""

from typing import Any

from rota.domain.http_target.target import Target
from rota.domain.lint.definition import plain_headers
from rota.domain.lint.target_texts import target_texts
from rota.domain.primitives.bounds import STORED
from rota.domain.primitives.texts.sealed import SealedText
from tests.support.factories import define

URL = "https://app.example.com/"


def told(task_input: Any = None, **fields: Any) -> dict[str, list[str]]:
    """Return the messages of the warnings, by their codes."""
    found: dict[str, list[str]] = {}
    for each in target_texts(Target.model_validate({"url": URL} | fields), task_input):
        found.setdefault(each.code, []).append(each.message)
    return found


def test_names_with_braces_have_a_warning_since_they_are_sent_unchanged() -> None:
    (message,) = told(query={"{{name}}": 1}, body={"a": [{"b/{{c}}": "{{ input.x }}"}]})[
        "literal_template"
    ]

    assert message.startswith(
        "'{{' in /target/query/{{name}} and /target/body/a/0/b~1{{c}} are sent as they stand"
    )


def test_tags_of_other_languages_have_a_warning() -> None:
    (message,) = told(body=["{% if input.x %}yes{% endif %}"])["literal_template"]

    assert "'{%' in /target/body/0 is sent as it stands" in message
    assert "no tags such as loops" in message


def test_an_input_with_braces_has_a_warning_where_it_is_the_body() -> None:
    task_input = {"a": "{{ input.b }}"}

    assert (
        "/input/a is sent as it stands, as the input is data"
        in told(task_input)["literal_template"][0]
    )
    assert told(task_input, body=1) == {}
    assert told(task_input, method="GET") == {}
    assert told(task_input, kv=["a"]) == {}
    assert told(SealedText("sealed:k1:{{")) == {}


def test_a_value_that_is_encoded_twice_has_a_warning() -> None:
    query = {"a": "{{ input.a | urlencode }}", "b": "{{ input.b | urlencode | json }}"}
    form = {"c": "{{ input.c | json | urlencode }}"}

    (message,) = told(query=query, body_format="form", body=form)["encoded_twice"]

    assert message.startswith("/target/query/a and /target/body/c are percent-encoded twice")
    assert told(body=form, url=f"{URL}{{{{ input.a | urlencode }}}}") == {}


def test_what_is_filled_in_has_no_warning() -> None:
    assert (
        told(
            url=f"{URL}{{{{ input.id }}}}",
            headers={"X": "{{ run.id }}"},
            query={"q": "{{ input.q }}"},
            body={"a": '{{ "{{" }}', "b": "{ x }"},
        )
        == {}
    )


def test_a_stored_target_that_is_no_template_can_be_checked() -> None:
    target = Target.model_validate({"url": URL, "query": {"q": "{{ a b"}}, context=STORED)

    assert list(target_texts(target, None)) == []


def test_a_secret_header_that_is_filled_in_is_not_stored_in_plain() -> None:
    headers = {"Authorization": "Bearer {{ secret.crm }}", "X-Api-Key": "k", "Cookie": "{"}

    (found,) = plain_headers(define(handler="http", target={"url": URL, "headers": headers}))

    assert found.message.startswith("'X-Api-Key' and 'Cookie' in target.headers look secret")
