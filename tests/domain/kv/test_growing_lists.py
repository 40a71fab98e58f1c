"""Lists that operations add to, and what many operations on one entry cost."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.domain.kv.draft import KvDraft
from rota.domain.kv.entries import KvSnapshot
from rota.domain.kv.growing_list import GrowingList
from rota.domain.kv.operations import (
    Append,
    Check,
    Expire,
    Increment,
    Max,
    Operation,
    OperationFailed,
    execute,
)
from rota.domain.kv.present import Present
from rota.domain.primitives.json import json_text
from rota.errors import NotJson
from tests.support.costs import check_growth
from tests.support.factories import NOON

ITEMS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # Text with brackets, commas and quotes in it, and of one to four bytes for each character.
    | st.text(st.sampled_from('a[]{},"\\:é€🙂 '), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner),
    max_leaves=5,
)
LIMITS = st.none() | st.integers(1, 5)
LIMIT = 10_000_000


@given(st.lists(ITEMS, max_size=6), st.lists(st.tuples(ITEMS, LIMITS, st.integers(0, 3))))
def test_a_list_that_grows_is_what_the_same_list_written_anew_would_be(
    first: list[Any], steps: list[tuple[Any, int | None, int]]
) -> None:
    """Each step continues from one of the latest states, which stays what it is."""
    states = [(GrowingList.of(first), first)]
    for item, most, back in steps:
        growing, plain = states[max(0, len(states) - 1 - back)]
        longer = [*plain, item]
        states.append((growing.appended(item, most), longer if most is None else longer[-most:]))

    for growing, plain in states:
        text = json_text.dumps(plain).encode()
        assert (growing.encode(), growing.size, growing.count) == (text, len(text), len(plain))


def test_an_item_that_lies_too_deep_in_the_list_is_refused() -> None:
    deepest: list[Any] = []
    for _ in range(json_text.MAX_DEPTH - 1):
        deepest = [deepest]

    with pytest.raises(NotJson, match="nested deeper"):
        GrowingList.of([1]).appended(deepest, None)
    assert GrowingList.of([1]).appended(deepest[0], None).count == 2


def outcome(operations: Sequence[Operation], limit: int = LIMIT, value: bytes = b"[1,2]") -> Any:
    present: Present | None = Present(value)
    for operation in operations:
        present = execute(operation, present, NOON, limit)
    return None if present is None else present.value


def test_operations_on_a_list_see_what_those_before_them_have_left() -> None:
    grown: list[Operation] = [
        Append("k", b"3"),
        Append("k", b'"4"', 3),
        Expire("k", None),
        Append("k", b"{}"),
    ]

    assert outcome(grown) == b'[2,3,"4",{}]'
    assert outcome([*grown, Check("k", value=b'[2,3,"4",{}]'), Append("k", b"5", 1)]) == b"[5]"
    with pytest.raises(OperationFailed, match="another value"):
        outcome([*grown, Check("k", value=b"[]")])
    with pytest.raises(OperationFailed, match="a list, not a number"):
        outcome([*grown, Increment("k", 1)])


def test_a_list_may_not_be_too_large_after_any_of_its_operations() -> None:
    grows = [Append("k", b'"abc"'), Append("k", b'"abc"')]

    assert outcome([*grows, Append("k", b"0", 1)], limit=17) == b"[0]"
    with pytest.raises(OperationFailed, match="would have 17 bytes; the limit is 16"):
        outcome([*grows, Append("k", b"0", 1)], limit=16)


# ------------------------------------------------------------------------------------------------------- growth
def numbers(count: int) -> bytes:
    return f"[{','.join(['12345'] * 40 * count)}]".encode()


#: What a value of some size is, and an operation on it that is possible again and again.
REPEATED: dict[str, tuple[Any, Any]] = {
    "append": (numbers, [Append("k", b'"abc"')]),
    "append, and let go": (numbers, [Append("k", b'"abc"', 100), Append("k", b"1", 50_000)]),
    "append and expire": (numbers, [Append("k", b"1"), Expire("k", None)]),
    "max": (lambda count: json_text.dumps("é\n" * 40 * count).encode(), [Max("k", b'"abc"')]),
}


@pytest.mark.parametrize("what", REPEATED)
def test_four_times_as_many_operations_on_four_times_as_much_cost_five_times_as_much_at_most(
    what: str,
) -> None:
    value, operations = REPEATED[what]

    def work(text: str) -> None:
        outcome([*operations] * len(text), value=value(len(text)))

    check_growth(work, lambda count: "." * count, 250)


@pytest.mark.parametrize("first", ["a snapshot", "a value of its own"])
def test_a_run_that_adds_to_a_list_again_and_again_pays_for_each_once(first: str) -> None:
    def work(text: str) -> None:
        draft = KvDraft(LIMIT)
        draft.load(KvSnapshot({"k": numbers(len(text))}, 7))
        if first != "a snapshot":
            draft.set("k", draft.get("k"))
        for _ in text:
            draft.commute(Append("k", b'"abc"'))
            if first != "a snapshot":
                draft.expire("k", None)
        assert draft.changes

    check_growth(work, lambda count: "." * count, 250)
