"""Templates: places in values, and nothing more."""

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rota.domain.http_target.templates import (
    ABSENT,
    MOST_REFERENCES,
    Budget,
    MissingError,
    OverBudgetError,
    TemplateError,
    count_references,
    fill,
    references,
    to_text,
)
from tests.domain.primitives.test_json_text import JSON, TEXT

SCOPE: dict[str, Any] = {
    "result": {
        "status": 200,
        "headers": {"content-type": "application/json"},
        "body": {"next": 8812, "items": [{"id": 1}, {"id": 2}], "none": None, "deep": {"a": "b"}},
    },
    "kv": {"cursor": 5, "feed.a": "x", "": 0},
}


def spelled(reference: Any) -> str:
    return f"{reference}{'?' if reference.optional else ''}"


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ result.body.next }}", 8812),
        ("{{result.body.next}}", 8812),
        ("{{ result.body.items[0].id }}", 1),
        ("{{ result.body.items[-1].id }}", 2),
        ("{{ result.body.items }}", [{"id": 1}, {"id": 2}]),
        ("{{ result.body.none }}", None),
        ("{{ result.headers.content-type }}", "application/json"),
        ('{{ kv["feed.a"] }}', "x"),
        ('{{ kv["feed\\u002ea"] }}', "x"),
        ('{{ kv[""] }}', 0),
        ("{{ result.body.next? }}", 8812),
        ("after {{ kv.cursor }}, {{ result.body.deep }}", 'after 5, {"a":"b"}'),
        ("a{{ result.body.none }}b{{ kv.nothing? }}c", "abc"),
        ("{{ result.status }}{{ result.status }}", "200200"),
        ('{{ "{{" }} x }}', "{{ x }}"),
        ('{{ "a" }}', "a"),
        ("", ""),
        ("plain } {", "plain } {"),
        (5.0, 5.0),
        ({"a": ["{{ kv.cursor }}", None]}, {"a": [5, None]}),
        ({"{{ kv.cursor }}": 1}, {"{{ kv.cursor }}": 1}),
        ({"a": "{{ kv.no? }}", "b": ["{{ kv.no? }}", 1]}, {"b": [1]}),
    ],
)
def test_references_are_filled_in(template: Any, value: Any) -> None:
    assert repr(fill(template, SCOPE)) == repr(value)


def test_an_optional_reference_alone_that_leads_nowhere_gives_no_value() -> None:
    assert fill("{{ result.body.later.next? }}", SCOPE) is ABSENT
    assert to_text(ABSENT) == ""


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ nothing }}", "there is no nothing"),
        (
            "{{ result.body.nxt }}",
            "there is no result.body.nxt: result.body has no member 'nxt'",
        ),
        (
            "{{ result.body.items[2].id }}",
            "there is no result.body.items[2].id: result.body.items has 2 items",
        ),
        (
            "{{ result.body.next.x }}",
            "there is no result.body.next.x: result.body.next is a number",
        ),
        (
            "{{ result.body.items.id }}",
            "there is no result.body.items.id: result.body.items is a list",
        ),
        ("{{ result.body[0] }}", "there is no result.body[0]: result.body is an object"),
        ('{{ kv["a.b"] }}', "there is no kv[\"a.b\"]: kv has no member 'a.b'"),
        ("x {{ result.body.none.a }}", "there is no result.body.none.a: result.body.none is null"),
    ],
)
def test_a_reference_that_leads_nowhere_is_named(template: str, message: str) -> None:
    with pytest.raises(MissingError) as missing:
        fill([{"deep": template}], SCOPE)

    assert str(missing.value) == message


@pytest.mark.parametrize(
    "template",
    [
        "{{",
        "{{ }}",
        "{{ a b }}",
        "{{ a",
        "{{ a. }}",
        "{{ a..b }}",
        "{{ .a }}",
        "{{ a[x] }}",
        "{{ a[1.0] }}",
        "{{ a[99999999999] }}",
        '{{ a["\\x"] }}',
        '{{ "\\ud800" }}',
        "{{ f(x) }} {{ {{ }}",
        "{{ a?.b }}",
        "x {{ a | upper }}",
    ],
)
def test_what_is_no_reference_is_refused_with_an_example(template: str) -> None:
    with pytest.raises(TemplateError, match=r"is no reference such as|is not a JSON text"):
        list(references({"a": [template]}))


@pytest.mark.parametrize(
    ("template", "found"),
    [
        ("a {{ x.y }} b {{ x[0] }}", ["x.y", "x[0]"]),
        ({"{{ no }}": ["{{ kv.a? }}", {"b": '{{ kv["c.d"].e }}'}]}, ["kv.a?", 'kv["c.d"].e']),
        (["plain", 1, None, '{{ "{{" }}'], []),
    ],
)
def test_references_are_found_wherever_they_are(template: Any, found: list[str]) -> None:
    assert [spelled(each) for each in references(template)] == found


def test_so_many_references_are_taken_and_no_more() -> None:
    assert count_references(["{{ x }}"] * MOST_REFERENCES) == MOST_REFERENCES
    assert count_references([["{{ x }}"] * 10_000]) == MOST_REFERENCES + 1


def test_a_budget_counts_bytes_before_anything_is_put_together() -> None:
    scope = {"x": "é" * 10, "y": [1, 2]}

    assert fill("{{ x }}!{{ y }}", scope, Budget(25)) == f"{'é' * 10}![1,2]"
    assert fill(["{{ x }}", "{{ y }}"], scope, Budget(27)) == ["é" * 10, [1, 2]]
    for template, most in (("{{ x }}!{{ y }}", 24), (["{{ x }}", "{{ y }}"], 26)):
        with pytest.raises(OverBudgetError, match=f"more than {most} bytes"):
            fill(template, scope, Budget(most))


def test_what_is_not_there_takes_nothing_of_a_budget() -> None:
    assert fill(["{{ x? }}", "a{{ x? }}"], {}, Budget(0)) == ["a"]


@pytest.mark.parametrize("template", ["{{ x }}" * 500, ["{{ x }}"] * 500])
def test_four_times_as_many_references_take_no_more_than_the_budget(template: Any) -> None:
    def peak(template: Any) -> int:
        tracemalloc.start()
        with pytest.raises(OverBudgetError):
            fill(template, {"x": "x" * 100_000})
        taken = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return taken

    assert peak(template * 2) < 5 * peak(template[: len(template) // 2])


PATHS = st.lists(TEXT | st.integers(-3, 3), max_size=4)


def written(path: list[str | int]) -> str:
    """Return a reference to a place beneath `x`, written in the way that always works."""
    return "{{ x" + "".join(f"[{json.dumps(step)}]" for step in path) + " }}"


def at(value: Any, path: list[str | int]) -> Any:
    for step in path:
        fits = isinstance(value, list if isinstance(step, int) else dict)
        value = value[step] if fits else dict[Any, Any]()[step]
    return value


@given(JSON, PATHS)
@example([[1]], [0, -1])
def test_a_reference_gives_what_is_at_its_place_or_is_named(
    value: Any, path: list[str | int]
) -> None:
    try:
        wanted = at(value, path)
    except LookupError:
        with pytest.raises(MissingError):
            fill(written(path), {"x": value})
    else:
        assert repr(fill(written(path), {"x": value})) == repr(wanted)


@given(PATHS)
def test_a_reference_is_spelled_so_that_it_can_be_read_again(path: list[str | int]) -> None:
    (reference,) = references(written(path))

    assert list(references(f"{{{{ {reference} }}}}")) == [reference]


@given(JSON)
def test_what_has_no_braces_is_filled_in_as_it_is(value: Any) -> None:
    plain = json.loads(json.dumps(value).replace("{{", "<<"))

    assert repr(fill(plain, {})) == repr(plain)


@given(st.text('{}ax.[]"? \\0-', max_size=30))
def test_any_text_is_filled_in_or_refused(text: str) -> None:
    try:
        found = list(references(text))
    except TemplateError:
        assert "{{" in text
        return
    scope: dict[str, Any] = {str(each.path[0]): {} for each in found}
    if any(len(each.path) > 1 and not each.optional for each in found):
        with pytest.raises(MissingError, match=r"there is no \S"):
            fill(text, scope)
    else:
        fill(text, scope)
