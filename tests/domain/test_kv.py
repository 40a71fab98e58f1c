from datetime import timedelta

import pytest

from app.domain.kv import KvChange, KvDraft, KvSnapshot, encode
from app.errors import Invalid, NotJson, TooLarge

SNAPSHOT = KvSnapshot({"a": b"1", "b": b'{"n":5.0}'}, 7)


@pytest.fixture
def draft() -> KvDraft:
    made = KvDraft(limit=20)
    made.load(SNAPSHOT)
    return made


def test_reads_see_the_snapshot_and_their_own_writes(draft: KvDraft) -> None:
    draft.set("a", 2)
    draft.set("c", [1.0])
    draft.delete("b")

    assert (draft.get("a"), draft.get("c"), draft.get("b"), draft.get("b", 0)) == (
        2,
        [1.0],
        None,
        0,
    )
    assert list(draft.items()) == [("a", 2), ("c", [1.0])]


def test_null_is_a_value(draft: KvDraft) -> None:
    draft.set("a", None)

    assert draft.get("a", "default") is None
    assert list(draft.items("a")) == [("a", None)]


def test_a_value_that_was_written_is_kept_as_it_was_then(draft: KvDraft) -> None:
    value = [1]
    draft.set("a", value)
    value.append(2)

    assert draft.get("a") == [1]


def test_items_are_in_order_and_by_prefix(draft: KvDraft) -> None:
    draft.set("b:2", 2)
    draft.set("b:1", 1)

    assert [key for key, _ in draft.items()] == ["a", "b", "b:1", "b:2"]
    assert [key for key, _ in draft.items("b:")] == ["b:1", "b:2"]


def test_changes_say_whether_the_snapshot_had_the_key(draft: KvDraft) -> None:
    draft.set("a", 2, ttl=timedelta(seconds=1))
    draft.set("new", 1)
    draft.set("new", 3)
    draft.delete("b")

    changes = {change.key: change for change in draft.changes if isinstance(change, KvChange)}
    assert [(key, each.value, each.replaces) for key, each in changes.items()] == [
        ("a", b"2", True),
        ("new", b"3", False),
        ("b", None, True),
    ]
    assert changes["a"].ttl == timedelta(seconds=1)
    assert draft.revision == 7


def test_a_draft_can_be_written_without_having_been_read() -> None:
    draft = KvDraft(limit=20)
    draft.set("a", 1)

    assert not draft.loaded
    assert draft.revision is None
    assert draft.get("a") == 1
    assert draft.changes == (KvChange("a", b"1", replaces=False),)
    with pytest.raises(RuntimeError):
        draft.get("b")


def test_a_second_snapshot_changes_nothing(draft: KvDraft) -> None:
    draft.load(KvSnapshot({"a": b"99"}, 8))

    assert (draft.get("a"), draft.revision) == (1, 7)


@pytest.mark.parametrize("key", ["_result", "", "a b", "transaction", "x" * 300])
def test_a_wrong_key_is_refused_at_once(draft: KvDraft, key: str) -> None:
    for write in (lambda: draft.set(key, 1), lambda: draft.delete(key)):
        with pytest.raises(Invalid) as refused:
            write()
        assert refused.value.slug == "invalid-key"
    assert draft.changes == ()


def test_a_wrong_value_is_refused_at_once(draft: KvDraft) -> None:
    with pytest.raises(NotJson):
        draft.set("a", object())
    with pytest.raises(TooLarge, match="limit is 20"):
        draft.set("a", "x" * 19)

    assert draft.changes == ()


def test_a_value_is_measured_in_bytes() -> None:
    assert encode("a", "ü" * 9, 20) == f'"{"ü" * 9}"'.encode()
    with pytest.raises(TooLarge):
        encode("a", "ü" * 10, 20)
