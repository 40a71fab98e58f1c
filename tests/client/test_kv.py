"""The key-value table of a task as a mapping, with compare-and-set and transactions."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from rota.client import AsyncRota, KvConflict, NotFound, Rota
from rota.client.problems import HistoryTooShort, InvalidKey, OperationFailed
from rota.client.sync.kv.table import Kv
from tests.api.marks import on_both

_NUMBERS = count()


@pytest.fixture
def name() -> str:
    return f"kv-{next(_NUMBERS)}"


@pytest.fixture
def kv(rota: Rota, name: str) -> Kv:
    rota.tasks.declare(name, handler="echo", schedule={"type": "manual"}, kv_history=5)
    return rota.task(name).kv


@on_both
def test_a_table_is_a_mapping(kv: Kv) -> None:
    kv["a"] = {"n": [1, None, "ü"]}
    kv["b"] = 2
    kv["b"] = 3

    assert kv["a"] == {"n": [1, None, "ü"]}
    assert "a" in kv
    assert "c" not in kv
    assert (kv.get("c"), kv.get("c", 5)) == (None, 5)
    assert list(kv) == ["a", "b"]
    assert dict(kv.items()) == {"a": {"n": [1, None, "ü"]}, "b": 3}
    assert kv.get_many(["a", "c"]) == {"a": {"n": [1, None, "ü"]}}
    with pytest.raises(KeyError, match="'c'"):
        kv["c"]
    del kv["a"]
    with pytest.raises(KeyError):
        del kv["a"]
    assert (kv.delete("b"), kv.delete("b")) == (True, False)
    assert list(kv) == []


@pytest.mark.parametrize("value", [10**30, -(2**63) - 1, 2**53 + 1, 0.1, 5.0, True, None, "", []])
def test_a_value_comes_back_as_it_was(kv: Kv, value: object) -> None:
    kv["value"] = value

    assert kv["value"] == value
    assert type(kv["value"]) is type(value)


def test_bytes_come_back_as_bytes(kv: Kv) -> None:
    first = kv.set("icon", b"\x00\xff", content_type="image/png", if_version=0)
    assert kv["icon"] == b"\x00\xff"

    second = kv.set("icon", b"\x01", if_version=first.version)
    assert second.version > first.version
    for version in (first.version, 0):
        with pytest.raises(KvConflict):
            kv.set("icon", b"\x02", if_version=version)
    with pytest.raises(KvConflict):
        kv.set("nothing", b"\x02", if_version=7)
    assert kv["icon"] == b"\x01"


@on_both
def test_a_write_can_depend_on_the_version(kv: Kv) -> None:
    made = kv.set("cursor", 1, if_version=0)
    with pytest.raises(KvConflict):
        kv.set("cursor", 2, if_version=0)
    kv.set("cursor", 2, if_version=made.version)
    with pytest.raises(KvConflict):
        kv.set("cursor", 3, if_version=made.version)
    with pytest.raises(KvConflict):
        kv.delete("cursor", if_version=made.version)

    entry = kv.entry("cursor")
    assert entry is not None
    assert entry.value == 2
    assert kv.delete("cursor", if_version=entry.version)
    assert kv.entry("cursor") is None


@on_both
def test_updates_at_the_same_time_are_all_made(kv: Kv) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: kv.update("n", lambda n: n + 1, default=0), range(12)))

    assert kv["n"] == 12


def test_the_function_of_an_update_may_refuse(kv: Kv) -> None:
    with pytest.raises(ZeroDivisionError):
        kv.update("n", lambda _: 1 / 0)

    assert "n" not in kv


def test_operations_return_what_they_have_made(kv: Kv) -> None:
    assert kv.increment("n") == 1
    assert kv.increment("n", 10**20) == 10**20 + 1
    assert kv.append("log", "a") == ["a"]
    assert kv.append("log", "b", max_length=1) == ["b"]
    assert (kv.max("high", 3), kv.max("high", 2)) == (3, 3)
    assert (kv.set_once("once", 1), kv.set_once("once", 2)) == (1, 1)
    assert kv.expire("once", "1h").expires_at is not None
    assert kv.delete_prefix("o") == 1
    with pytest.raises(OperationFailed) as caught:
        kv.increment("log")
    assert not isinstance(caught.value, KvConflict)


@on_both
def test_a_transaction_writes_all_or_nothing(rota: Rota, name: str, kv: Kv) -> None:
    kv["stock"] = 5
    with rota.task(name).transaction() as transaction:
        left = transaction["stock"] - 2
        transaction["stock"] = left
        transaction.append("orders", "o1")
        transaction.increment("sold", 2)
        transaction.set("hint", "x", ttl="1h")
        del transaction["hint"]
        assert transaction["stock"] == 3
        assert transaction["orders"] == ["o1"]
        assert transaction.get("hint", "gone") == "gone"
        assert kv["stock"] == 5

    assert dict(kv.items()) == {"stock": 3, "orders": ["o1"], "sold": 2}
    assert len({entry.version for entry in transaction.entries}) == 1


@on_both
def test_a_transaction_that_has_read_what_changed_writes_nothing(
    rota: Rota, name: str, kv: Kv
) -> None:
    kv["a"] = 1
    kv["b"] = 1
    transaction = rota.task(name).transaction()
    with pytest.raises(KvConflict, match="'a'"), transaction:  # noqa: PT012  # its end raises
        transaction["b"] = transaction["a"] + 1
        kv["a"] = 10

    assert kv["b"] == 1


def test_what_did_not_exist_when_it_was_read_must_not_exist_at_the_commit(
    rota: Rota, name: str, kv: Kv
) -> None:
    with pytest.raises(KvConflict), rota.task(name).transaction() as transaction:  # noqa: PT012  # its end raises
        assert "lock" not in transaction
        transaction["lock"] = "mine"
        kv["lock"] = "theirs"

    assert kv["lock"] == "theirs"


def test_reads_of_a_transaction_are_of_one_moment(rota: Rota, name: str, kv: Kv) -> None:
    kv["a"] = kv["b"] = 1
    with pytest.raises(KvConflict), rota.task(name).transaction() as transaction:  # noqa: PT012  # its end raises
        assert transaction["a"] == 1
        kv["a"] = kv["b"] = 2
        assert transaction["b"] == 1
        transaction["c"] = 0


def test_a_moment_that_is_not_known_any_more_is_a_conflict(rota: Rota, name: str, kv: Kv) -> None:
    rota.task(name).update(kv_history=0)
    kv["a"] = kv["b"] = 1

    def read_both() -> None:
        with rota.task(name).transaction() as transaction:
            assert transaction["a"] == 1
            kv["b"] = 2
            transaction["c"] = transaction["b"]

    with pytest.raises(KvConflict, match="'b'"):
        read_both()
    with rota.task(name).transaction() as transaction:
        transaction["c"] = transaction["a"] + transaction["b"]
    assert kv["c"] == 3


def test_an_exception_sends_nothing(rota: Rota, name: str, kv: Kv) -> None:
    with pytest.raises(RuntimeError), rota.task(name).transaction() as transaction:  # noqa: PT012  # its end raises
        transaction["a"] = 1
        raise RuntimeError

    assert list(kv) == []


def test_writes_that_read_nothing_conflict_with_nobody(rota: Rota, name: str, kv: Kv) -> None:
    with rota.task(name).transaction() as transaction:
        transaction.increment("n")
        kv.increment("n")

    assert kv["n"] == 2


def test_the_history_is_read_and_reverted(kv: Kv) -> None:
    for number in range(3):
        kv["n"] = number
    versions = kv.history("n", page_size=1).all()
    assert [version.value for version in versions] == [2, 1, 0]
    (before,) = kv.entries(at=versions[1].version)
    assert before.value == 1

    done = kv.revert(revision=versions[2].version)

    assert (done.set, kv["n"]) == (("n",), 0)
    for number in range(9):
        kv["n"] = number
    with pytest.raises(HistoryTooShort):
        kv.revert(revision=versions[0].version)


def test_a_table_is_exported_and_imported(rota: Rota, name: str, kv: Kv) -> None:
    kv["a"], kv["b"] = 1, 10**30
    lines = kv.export()
    rota.tasks.declare(f"{name}-copy", handler="echo", schedule={"type": "manual"})
    copy = rota.task(f"{name}-copy").kv

    assert copy.import_(lines).set == 2
    assert copy.import_([{"key": "c", "value": 3}], mode="replace").deleted == 2
    assert dict(copy.items()) == {"c": 3}


def test_changes_are_watched_behind_a_break(kv: Kv) -> None:
    kv["a"] = 1
    with kv.watch("a", initial=True) as changes:
        first, ready = next(changes), next(changes)
        kv["b"] = 0
        kv["a"] = 2
        second = next(changes)
        position = changes.position
    assert [each.type for each in (first, ready, second)] == ["kv.set", "kv.ready", "kv.set"]
    assert [first.data["value"], second.data["value"]] == [1, 2]

    del kv["a"]
    with kv.watch("a", after=position) as changes:
        assert next(changes).type == "kv.deleted"


def test_a_table_of_no_task_is_not_found(rota: Rota) -> None:
    kv = rota.task("nobody").kv
    for call in (
        lambda: kv.get("a"),
        lambda: kv.set("a", 1),
        lambda: kv.delete("a"),
        lambda: list(kv),
    ):
        with pytest.raises(NotFound):
            call()


def test_a_key_of_rota_itself_cannot_be_written(kv: Kv) -> None:
    with pytest.raises(InvalidKey):
        kv["_result"] = 1


def test_the_async_half_has_the_same_table(connected: Callable[..., None], name: str) -> None:
    async def use(rota: AsyncRota) -> None:
        await rota.tasks.declare(name, handler="echo", schedule={"type": "manual"})
        task = rota.task(name)
        await task.kv.set("a", 1)
        assert await task.kv["a"] == 1
        with pytest.raises(KeyError):
            await task.kv["b"]
        assert [key async for key in task.kv] == ["a"]
        assert [item async for item in task.kv.items()] == [("a", 1)]

        async def double(value: int) -> int:
            return 2 * value

        assert await task.kv.update("a", double) == 2
        async with task.transaction() as transaction:
            transaction["b"] = await transaction["a"] + 1
        assert await task.kv["b"] == 3
        with pytest.raises(KvConflict):  # noqa: PT012  # the end of the `with` raises
            async with task.transaction() as transaction:
                transaction["b"] = await transaction["a"]
                await task.kv.set("a", 0)

    connected(use)
