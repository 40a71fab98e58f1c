from datetime import timedelta

import pytest

from rota.domain.kv.draft import KvDraft
from rota.domain.kv.entries import CheckFailed, KvChange, KvSnapshot, encode
from rota.domain.kv.operations import Check, Increment
from rota.errors import Invalid, NotJson, TooLarge

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


def test_keys_and_items_are_cut_by_prefix_start_and_end(draft: KvDraft) -> None:
    for key in ("b:1", "b:2", "c"):
        draft.set(key, 0)
    draft.delete("a")

    assert draft.keys() == ["b", "b:1", "b:2", "c"]
    assert draft.keys("b:") == ["b:1", "b:2"]
    assert draft.keys(start="b:1", end="c") == ["b:1", "b:2"]
    assert list(draft.items("b", "b:2")) == [("b:2", 0)]


def test_versions_are_those_of_the_snapshot_until_the_run_writes() -> None:
    draft = KvDraft(limit=20)
    draft.load(KvSnapshot({"a": b"1"}, 7, versions={"a": 3}))

    assert (draft.version("a"), draft.version("b")) == (3, None)
    draft.check(Check("a", version=3))
    draft.set("a", 2)
    assert draft.version("a") is None
    with pytest.raises(CheckFailed, match="written by this run"):
        draft.check(Check("a", version=3))


def test_a_check_is_kept_in_its_place_among_what_commutes(draft: KvDraft) -> None:
    before, after = Check("a", value=b"1"), Check("a", value=b"2")
    draft.check(before)
    draft.commute(Increment("a", 1))
    draft.check(after)

    assert draft.changes == (before, Increment("a", 1), after)


def test_a_check_of_what_is_written_needs_no_second_look(draft: KvDraft) -> None:
    draft.check(Check("a", value=b"1"))
    draft.set("a", 2)
    draft.check(Check("a", value=b"2"))

    assert draft.changes == (KvChange("a", b"2", replaces=True),)


def test_a_draft_that_begins_anew_has_nothing_written_and_reads_again(draft: KvDraft) -> None:
    draft.set("a", 2)
    draft.begin_anew(9)

    assert (draft.changes, draft.revision, draft.loaded) == ((), 9, False)
    draft.load(KvSnapshot({"a": b"2"}, 11))
    assert (draft.get("a"), draft.revision) == (2, 11)


def test_a_prefix_takes_what_rota_owns_never_along() -> None:
    draft = KvDraft(limit=20)
    draft.load(KvSnapshot({"_result": b"1", "a": b"1"}, 7))

    assert draft.delete_prefix("_") == 0
    assert draft.delete_prefix("a") == 1
    with pytest.raises(Invalid):
        draft.delete_prefix("")


@pytest.mark.parametrize("content_type", ["png", "image/", "image/png\r\nX-A: 1", "a/" + "b" * 300])
def test_a_content_type_that_is_none_is_refused(draft: KvDraft, content_type: str) -> None:
    with pytest.raises(Invalid, match="no content type"):
        draft.set("a", b"x", content_type=content_type)
