"""JSON as Rota stores it: exact, bounded, with a pointer to what is refused."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.domain.primitives.json import json_text
from rota.domain.primitives.json.json_text import (
    MAX_DEPTH,
    canonical,
    dumps,
    equal,
    escape,
    loads,
    printable,
)
from rota.errors import Invalid, MalformedJson, NotJson, TooLarge

TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)
NUMBERS = (
    st.integers()
    | st.integers(-(10**60), 10**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0.0, -0.0, 5.0, 1e22, 1.5e300, 10**20, 2**63, 5e-324])
)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def _nested(depth: int, inner: str = "1") -> str:
    return "[" * depth + inner + "]" * depth


@given(JSON)
def test_a_value_comes_back_with_its_exact_type(value: Any) -> None:
    back = loads(dumps(value))

    assert repr(back) == repr(value)  # 5.0 is not 5, and -0.0 not 0.0
    assert repr(loads(dumps(value).encode())) == repr(value)


def test_text_is_compact_and_not_escaped() -> None:
    assert dumps({"ü": [1, 2.50, True, None, "\u2028"]}) == '{"ü":[1,2.5,true,null,"\u2028"]}'


@given(JSON)
def test_canonical_text_does_not_depend_on_the_order_of_fields(value: Any) -> None:
    def reversed_(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: reversed_(part[key]) for key in reversed(part)}
        return [reversed_(item) for item in part] if isinstance(part, list) else part

    assert canonical(reversed_(value)) == canonical(value)
    assert repr(loads(canonical(loads(canonical(value))))) == repr(loads(canonical(value)))


@pytest.mark.parametrize(("one", "other"), [(1, 1.0), (1, True), (0.0, -0.0), ("1", 1), ([], {})])
def test_canonical_text_differs_between_types(one: Any, other: Any) -> None:
    assert canonical(one) != canonical(other)


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        ('{"a": 1, "a": 2}', "/a"),
        ('{"x": [0, {"a~/b": 1, "a~/b": 2}]}', "/x/1/a~0~1b"),
        (r'["\u0000"]', "/0"),
        (r'{"a": {"b\u0000": 1}}', "/a"),
        (r'{"a": "\ud800"}', "/a"),
        (r'["fine", "\udc00 alone"]', "/1"),
        ('{"n": 1e400}', "/n"),
        ('["fine", -1e400]', "/1"),
        (_nested(MAX_DEPTH + 1), "/0" * MAX_DEPTH),
    ],
)
def test_json_that_is_not_taken_is_pointed_at(text: str, pointer: str) -> None:
    with pytest.raises(Invalid) as refused:
        loads(text)

    assert [fault.pointer for fault in refused.value.faults] == [pointer]
    assert refused.value.slug == "unacceptable-json"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1,]",
        "{'a': 1}",
        "nul",
        "NaN",
        "[Infinity]",
        "-Infinity",
        "1 2",
        "\ufeff1",
        '"\t"',
    ],
)
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(MalformedJson):
        loads(text)


def test_what_is_not_utf_8_is_refused_with_its_place() -> None:
    with pytest.raises(MalformedJson, match="byte 1"):
        loads(b'"\xff"')


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "1" * 5_000])
def test_a_huge_document_is_refused_without_harm(text: str) -> None:
    with pytest.raises(Invalid):
        loads(text)


def test_the_deepest_value_that_is_taken() -> None:
    deepest = _nested(MAX_DEPTH)

    assert dumps(loads(deepest)) == deepest
    assert loads('"' + "[" * 200 + '"') == "[" * 200
    assert loads(r'"\ud83d\ude00"') == "😀"


class _Odd:
    """Nothing that JSON knows."""


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        [math.inf],
        {"a": -math.inf},
        {1, 2},
        b"bytes",
        _Odd(),
        {"a": _Odd()},
        {(1, 2): 3},
        "\x00",
        {"\x00": 1},
        "\ud800",
        {"\udc00": 1},
        10**5_000,
        {1: "a", "1": "b"},
        [{"x": ({None: 1, "null": 2},)}],
        {True: 1, "true": 2},
    ],
    ids=lambda value: repr(value)[:20] if not isinstance(value, int) else "huge",
)
def test_what_json_cannot_carry_is_refused(value: Any) -> None:
    with pytest.raises(NotJson):
        dumps(value)


def test_values_that_hold_themselves_or_go_too_deep_are_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    deep: Any = 1
    for _ in range(MAX_DEPTH + 1):
        deep = {"a": deep}

    for value in (endless, deep):
        with pytest.raises(NotJson):
            dumps(value)


@given(JSON | st.dictionaries(st.integers() | st.booleans() | st.none() | TEXT, JSON, max_size=4))
def test_whatever_was_written_can_be_read(value: Any) -> None:
    try:
        text = dumps(value)
    except NotJson:
        return
    loads(text)


@given(st.text(max_size=30))
def test_printable_text_can_be_kept_by_any_database(text: str) -> None:
    shown = printable(text, 20)

    shown.encode()
    assert "\x00" not in shown
    if len(text) > 20:
        assert shown.endswith(f"… ({len(text) - 20} characters more)")


@pytest.mark.parametrize(
    ("field", "token"), [("a", "a"), ("a/b~c", "a~1b~0c"), (7, "7"), ("~1", "~01")]
)
def test_pointers_are_escaped(field: str | int, token: str) -> None:
    assert escape(field) == token


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ([1], [1.0]),
        (0.0, -0.0),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1.0}]}),
        (2**53, float(2**53)),
        ([None, ""], [None, ""]),
    ],
)
def test_values_that_json_takes_for_equal_are_equal(one: Any, other: Any) -> None:
    assert equal(one, other)
    assert equal(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (0, False),
        ([1], [True]),
        ({"a": 0}, {"a": False}),
        ("1", 1),
        ([], {}),
        (None, False),
        ([1, 2], [2, 1]),
        ([1], [1, 1]),
        ({"a": 1}, {"a": 1, "b": None}),
        (2**53 + 1, float(2**53)),
        ("", None),
    ],
)
def test_values_that_differ_in_json_are_not_equal(one: Any, other: Any) -> None:
    assert not equal(one, other)
    assert not equal(other, one)


@given(JSON)
def test_a_value_equals_what_is_read_of_what_was_written_of_it(value: Any) -> None:
    assert equal(value, loads(canonical(loads(dumps(value)))))


# ------------------------------------------------------------------------------------------ many values
def _count(value: Any) -> int:
    """Return how many values there are in one; what is empty counts twice."""
    if not isinstance(value, (dict, list)):
        return 1
    inside = value.values() if isinstance(value, dict) else value
    return 1 + sum(map(_count, inside)) + (not value)


@given(
    JSON | st.lists(st.text(st.sampled_from('\\",[{ua')), max_size=20),
    st.integers(1, 9),
    st.booleans(),
    st.sampled_from([None, 1]),
)
def test_values_are_counted_before_anything_is_made_of_them(
    value: Any, slice_length: int, ascii_only: bool, indent: int | None
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_text, "_SLICE", slice_length)

        assert not json_text._counts_more(text, _count(value))
        assert json_text._counts_more(text, _count(value) - 1)


def test_a_document_of_too_many_values_is_refused() -> None:
    text = f"[{','.join(['0'] * 999)}]"

    assert len(loads(text, 1_000)) == 999
    with pytest.raises(TooLarge, match=r"^The body has more than 500 JSON values\.$"):
        loads(text, 500)
    assert loads(f'"{"[," * 999}"', 5) == "[," * 999


def test_the_first_fault_in_a_document_is_reported() -> None:
    with pytest.raises(Invalid) as refused:
        loads(r'{"a": [1, {"b": ["\u0000", "\ud800"]}], "c": 1e999, "d": {"e": 1, "e": 2}}')

    assert [fault.pointer for fault in refused.value.faults] == ["/a/1/b/0"]
