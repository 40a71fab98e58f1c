"""Templates: places in values, what filters make of them, and nothing more."""

import json
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rota.domain.http_target.templates.filling import (
    ABSENT,
    CANNOT_BE_FILLED,
    MOST_FILLED,
    Budget,
    FilterError,
    MissingError,
    OverBudgetError,
    TemplateError,
    fill,
    references,
    to_text,
)
from rota.domain.http_target.templates.grammar import MOST_DEFAULT, MOST_FILTERS, parse
from tests.domain.primitives.json.test_json_text import JSON, TEXT

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
            "there is no result.body.nxt: result.body has no field 'nxt'",
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
        ('{{ kv["a.b"] }}', "there is no kv[\"a.b\"]: kv has no field 'a.b'"),
        ("x {{ result.body.none.a }}", "there is no result.body.none.a: result.body.none is null"),
    ],
)
def test_a_reference_that_leads_nowhere_is_named(template: str, message: str) -> None:
    with pytest.raises(MissingError) as missing:
        fill([{"deep": template}], SCOPE)

    assert str(missing.value) == message


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ result.body.deep | json }}", '{"a":"b"}'),
        ("{{ result.body.next | json }}", "8812"),
        ("{{ result.body.none | json }}", "null"),
        ('{"name": {{ kv.name | json }}}', '{"name": "\\"Ada\\" & co"}'),
        ("{{ kv.name | urlencode }}", "%22Ada%22%20%26%20co"),
        ("{{ result.body.deep | urlencode }}", "%7B%22a%22%3A%22b%22%7D"),
        ("{{ kv.path | urlencode }}", "a%2Fb%3F%C3%BC~-._"),
        ("{{ kv.path | base64 }}", "YS9iP8O8fi0uXw=="),
        ("{{ result.body.next|base64 }}", "ODgxMg=="),
        ("{{ kv.name | base64 | urlencode }}", "IkFkYSIgJiBjbw%3D%3D"),
        ("{{ result.body.at | iso }}", "2026-11-25T08:00:00.000Z"),
        ("{{ result.body.seconds | iso }}", "2026-11-25T08:00:00.500Z"),
        ("{{ result.body.none | iso }}", None),
        ("{{ result.body.none | urlencode }}", None),
        ("x{{ result.body.none | base64 }}", "x"),
        ('{{ result.body.missing | default("none") }}', "none"),
        ("{{ result.body.none | default(0) }}", 0),
        ("{{ result.body.next | default(0) }}", 8812),
        ('{{ nothing.at.all | default({"a": [1, "}}"]}) }}', {"a": [1, "}}"]}),
        ('{{ kv.missing? | default( "a b" )|urlencode }}', "a%20b"),
        ("{{ kv.missing | default(null) | json }}", "null"),
        ("a{{ kv.missing? | urlencode }}b", "ab"),
    ],
)
def test_filters_make_something_of_a_value(template: str, value: Any) -> None:
    body = SCOPE["result"]["body"] | {"at": "2026-11-25T09:00:00+01:00", "seconds": 1795593600.5}
    kv = {"name": '"Ada" & co', "path": "a/b?ü~-._"}

    filled = fill(template, {"result": {"body": body}, "kv": kv})

    assert repr(filled) == repr(value)


@pytest.mark.parametrize("value", ["yesterday", True, -1, 10**400, 1e300, [1], {}, "2026-13-01"])
def test_what_is_no_time_is_refused_without_being_quoted(value: Any) -> None:
    with pytest.raises(
        FilterError, match=r"^input\.at: 'iso' takes a number of seconds"
    ) as refused:
        fill("{{ input.at | iso }}", {"input": {"at": value}})

    assert "yesterday" not in str(refused.value)
    assert "2026" not in str(refused.value)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{", "is no reference such as"),
        ("{{ }}", "is no reference such as"),
        ("{{ a b }}", "'{{ a b }}' is no reference such as '{{ input.customer.id }}'"),
        ("{{ a", "is no reference such as"),
        ("{{ a. }}", "is no reference such as"),
        ("{{ a..b }}", "is no reference such as"),
        ("{{ .a }}", "is no reference such as"),
        ("{{ a[x] }}", "is no reference such as"),
        ("{{ a[1.0] }}", "is no reference such as"),
        ("{{ a[99999999999] }}", "is no reference such as"),
        ('{{ a["\\x"] }}', "is not a JSON text"),
        ('{{ "\\ud800" }}', "is not a JSON text"),
        ("{{ f(x) }}", "is no reference such as"),
        ("{{ a?.b }}", "is no reference such as"),
        ("{{ a + b }}", "is no reference such as"),
        ("{{ a==1 }}", "is no reference such as"),
        ('{{ "a" | json }}', "is no reference such as"),
        ("{{{ a }}}", "is no reference such as"),
        # What template engines evaluate.
        ("{{ 'a' * 10**9 }}", "is no reference such as"),
        ("{{ 7*7 }}", "is no reference such as"),
        ("{{ ''.__class__.__mro__ }}", "is no reference such as"),
        ("{{ input.__class__ }}", "'.__class__' looks like an attribute, and values have none"),
        ("{{ for x in y }}", "is no reference such as"),
        ("{% for x in y %}{% for z in x %}{{ z() }}{% endfor %}{% endfor %}", "is no reference"),
        # Filters.
        ("x {{ a | upper }}", "there is no filter 'upper'; the filters are base64, default, iso, "),
        ("{{ a | urlencoded }}", "there is no filter 'urlencoded'; did you mean 'urlencode'?"),
        ("{{ a | }}", "has no filter behind '|'; the filters are base64"),
        ("{{ a || json }}", "has no filter behind '|'"),
        ("{{ a | json b }}", "is no reference such as"),
        ("{{ a | json() }}", "the filter 'json' takes no argument: write '| json'"),
        ("{{ a | default }}", "'default' takes a JSON value"),
        ("{{ a | default() }}", "'default' takes a JSON value"),
        ("{{ a | default('x') }}", 'such as default("none") or default(0)'),
        ("{{ a | default(NaN) }}", "'default' takes a JSON value"),
        ('{{ a | default({"a":1,"a":1}) }}', "'default' takes a JSON value"),
        ('{{ a | default("\\u0000") }}', "'default' takes a JSON value"),
        ("{{ a | default(1 }}", "'default' takes a JSON value"),
        (f"{{{{ a | default({'[' * 4_000}) }}}}", "'default' takes a JSON value"),
        (f"{{{{ a | default({'[' * 65}{']' * 65}) }}}}", "'default' takes a JSON value"),
        (f'{{{{ a | default("{"x" * MOST_DEFAULT}") }}}}', "of at most 4,096 characters"),
        ("{{ a" + " | json" * (MOST_FILTERS + 1) + " }}", "has more than 8 filters"),
    ],
)
def test_what_is_no_reference_is_refused_with_what_would_be(template: str, message: str) -> None:
    with pytest.raises(TemplateError) as refused:
        list(references({"a": [template]}))

    assert message in str(refused.value)


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


@contextmanager
def peak_of() -> Iterator[list[int]]:
    """Measure the most memory that is in use at once, in bytes, beside what was there before."""
    peaks: list[int] = []
    tracemalloc.start()
    try:
        yield peaks
        peaks.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("filters", ["base64", "urlencode", "json", "base64 | urlencode | base64"])
@pytest.mark.parametrize("many", [False, True])
def test_a_filter_makes_no_more_than_the_budget(filters: str, many: bool) -> None:
    value = "\x01" * (100_000 if many else MOST_FILLED - 1)
    template = f"{{{{ x | {filters} }}}}" * (500 if many else 1)
    with peak_of() as peaks, pytest.raises(OverBudgetError, match="more than 1,048,576 bytes"):
        fill([template, template], {"x": value})

    assert peaks[0] < 16 * MOST_FILLED


@pytest.mark.parametrize("name", ["base64", "urlencode", "json"])
def test_a_filter_is_not_applied_to_more_than_the_budget(name: str) -> None:
    value = "\x01" * 1_000_000
    with peak_of() as peaks, pytest.raises(OverBudgetError):
        fill(f"{{{{ x | {name} }}}}", {"x": value}, Budget(10_000))

    assert peaks[0] < 500_000


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


_TOKENS = (
    *("{{ a", "{{ b.c", "[0]", '["x"]', "?", "|", "json", "urlencode", "base64", "iso", "default"),
    *("(", ")", '"x"', "[1]", " }}", "x", "}}", "{{"),
)
EXPRESSIONS = st.one_of(
    st.text('{}ax.[]"?|() \\0-_', max_size=30),
    st.lists(st.sampled_from(_TOKENS)).map("".join),
)


@given(EXPRESSIONS, JSON, st.integers(0, 2_000))
@example("{{ a | default(1) | iso }}", None, 100)
@example("{{ a | iso }}", 10**400, 100)
def test_any_text_is_filled_in_within_the_budget_or_refused(
    text: str, value: Any, most: int
) -> None:
    try:
        filled = fill([text], {"a": value, "b": {"c": value}}, Budget(most))
    except CANNOT_BE_FILLED:
        assert "{{" in text
        return
    literal = sum(len(part.encode()) for part in parse(text) if isinstance(part, str))
    assert sum(len(to_text(each).encode()) for each in filled) <= literal + most


@given(TEXT)
def test_an_encoded_text_is_of_plain_characters_and_can_be_decoded(text: str) -> None:
    encoded = fill("{{ x | urlencode }}", {"x": text})

    assert unquote(encoded) == text
    assert all(char.isascii() and (char.isalnum() or char in "%-._~") for char in encoded)
