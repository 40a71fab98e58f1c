"""What templates cost, however they are written: no more than in proportion to their size."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import pytest
from pydantic import ValidationError

from rota.domain.http_target.target import Target
from rota.domain.http_target.templates.filling import MissingError, fill
from rota.domain.http_target.templates.grammar import TemplateError, parse
from tests.support.costs import check_growth

BODIES: Mapping[str, Callable[[int], Any]] = {
    "references": lambda n: ["{{ input.a }}"] * n,
    "references that are wrong": lambda n: ["{{ inptu.a }}"] * n,
    "no references": lambda n: [["{ x }", 1]] * n,
    "braces that do not close": lambda n: "{{ " * n,
    "filters": lambda n: "{{ a" + " | json" * n + " }}",
    "a quoted text that does not end": lambda n: '{{ "' + "x" * n,
    "a quoted step that does not end": lambda n: '{{ a["' + "\\\\" * n,
    "steps": lambda n: "{{ input" + ".b" * n + " }}",
    "numbers": lambda n: "{{ input" + "[0]" * n + " }}",
    "a long name": lambda n: "{{ " + "x" * n + " }}",
    "a long filter": lambda n: "{{ a | " + "x" * n + " }}",
    "white space": lambda n: "{{" + " " * n + "a",
    "a long default": lambda n: "{{ a | default(" + "[" * n,
    "defaults": lambda n: "{{ input.a | default([[],[]]) }}" * min(n, 900),
    "a URL": lambda n: "https://a.example/" + "x" * n + "{{ input.a }}",
}


@pytest.mark.parametrize("shape", BODIES)
def test_to_check_four_times_as_much_costs_at_most_five_times_as_much(shape: str) -> None:
    def check(document: str) -> None:
        body = json.loads(document)
        with suppress(ValidationError):
            Target(url="https://a.example/", body=body, headers={"X": "{{ run.id }}"})
        with suppress(TemplateError, MissingError):
            fill(body, {"input": {"a": 1}})

    check_growth(check, lambda n: json.dumps(BODIES[shape](n)), 4_000)


@pytest.mark.parametrize(
    "text",
    [
        "{{ " + "x" * 100_000 + " }}",
        "{{ input." + "x" * 100_000 + " }}",
        '{{ run["' + "x" * 100_000 + '"] }}',
        "{{ kv." + "x" * 100_000 + ".y }}",
        "{{ secret." + "x" * 100_000 + " }}",
        "{{ a | " + "x" * 100_000 + " }}",
        "{{ a" + "x" * 100_000,
    ],
)
def test_errors_are_short_however_long_a_name_is(text: str) -> None:
    messages = []
    try:
        Target(url="https://a.example/", kv=("cursor",), body=text)
    except ValidationError as refused:
        messages += [each["msg"] for each in refused.errors()]
    try:
        fill(text, {"input": {}, "kv": {}, "run": {}, "secret": {}})
    except (TemplateError, MissingError) as error:
        messages.append(str(error))

    assert messages
    assert all(len(each) < 1_000 for each in messages)


def test_a_path_is_as_deep_as_a_value_can_be() -> None:
    assert parse("{{ a" + ".b" * 64 + " }}")
    with pytest.raises(TemplateError, match="is no reference such as"):
        parse("{{ a" + ".b" * 65 + " }}")
