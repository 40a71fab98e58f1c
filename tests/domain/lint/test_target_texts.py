"""Texts that look like templates and are sent as they stand."""

from typing import Any

from rota.domain.lint.rules import lint_definition
from tests.support.factories import NOON, define


def test_a_text_with_braces_has_a_warning_where_it_is_sent_unchanged() -> None:
    target = {
        "url": "https://app.example.com/{{id}}",
        "headers": {"X-Run": "{{ run.id }}"},
        "query": {"since": "{{ kv.cursor }}", "n": 1},
        "body": {"{{name}}": 1, "a/b": ["x", "{{ input.name }}"]},
    }

    def told(**members: Any) -> list[str]:
        definition = define(handler="http", target={**target, **members})
        found = lint_definition(definition, NOON, [NOON], NOON)
        return [each.message for each in found if each.code == "literal_template"]

    texts, url = told()
    assert "/target/headers/X-Run, /target/query/since and /target/body/a~1b/1 are sent" in texts
    assert "target.kv is not given" in texts
    assert "/target/url is sent as it stands" in url
    assert told(kv=["cursor"]) == [url]
    assert told(url="https://app.example.com/", headers={}, query={}, body="plain") == []
    assert told(url="https://app.example.com/", headers={}, query={}, body={"{{a}}": "}}"}) == []
