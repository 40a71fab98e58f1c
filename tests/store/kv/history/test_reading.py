"""What the entries of a table were: their versions, the table at an earlier moment, and the way back to it."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from rota.domain.kv.entries import DEFAULT_LIMITS, KvLimits
from rota.domain.kv.operations import Delete, Set
from rota.domain.kv.present import Present
from rota.domain.primitives.ids import Id, random_id
from rota.domain.primitives.json import json_text
from rota.errors import Conflict, Invalid, NotFound
from rota.store.kv.bulk_import import Import, Imported
from rota.store.kv.entries import KvFilter
from rota.store.kv.history import reading as kv_history
from rota.store.kv.history.moments import find_moment
from rota.store.kv.history.reading import HistoricPage, list_historic_entries, list_versions
from rota.store.kv.history.revert import Reversion, Revert, TableChanged, compute_reversion
from rota.store.kv.transactions import RemoveExpired, Transact
from tests.support.factories import HOUR, NOON, World, delete_entry, set_entry
from tests.support.torture import Part, torture

SECOND = timedelta(seconds=1)


@pytest.fixture
def tabled(world: World) -> World:
    """A world with a task `t`."""
    world.register()
    return world


def versions(world: World, key: str, before: int | None = None, limit: int = 99) -> list[Any]:
    """Return (version, value) of the versions of an entry; None: it was removed."""
    found, _ = world.read(list_versions, "t", key, before, limit)
    return [
        (each.entry.version, None if each.deleted else json_text.loads(each.entry.value))
        for each in found
    ]


def page(world: World, wanted: datetime | Id | int, **fields: Any) -> HistoricPage:
    paging = {name: fields.pop(name) for name in ("after", "limit") if name in fields}
    moment = world.read(find_moment, "t", wanted, world.now)
    return world.read(
        list_historic_entries, "t", moment, KvFilter(**fields), **{"limit": 99} | paging
    )


def then(world: World, wanted: datetime | Id | int, **fields: Any) -> dict[str, Any]:
    """Return the table as it was, which must be known as a whole."""
    found = page(world, wanted, **fields)
    assert (found.missing, found.is_whole) == ([], True)
    return {each.key: json_text.loads(each.value) for each in found.items}


def work_out(world: World, wanted: datetime | Id | int, name: str = "t") -> Reversion:
    moment = world.read(find_moment, name, wanted, world.now)
    return world.read(compute_reversion, name, moment, world.now)


def revert(world: World, wanted: datetime | Id | int, limits: KvLimits = DEFAULT_LIMITS) -> int:
    made = work_out(world, wanted)
    return world.do(Revert(task="t", reversion=made, by="me", limits=limits))


# ---------------------------------------------------------------------------------------------------- versions
def test_the_versions_of_an_entry_come_newest_first_with_who_wrote_them(tabled: World) -> None:
    tabled.set("a", 1, by="key:ann")
    tabled.clock.advance(HOUR)
    claimed = tabled.start()
    tabled.succeed(claimed, a=2)
    tabled.do(delete_entry("t", "a"))
    tabled.set("a", 4, ttl=HOUR)

    found, forgotten = tabled.read(list_versions, "t", "a", None, 99)

    assert versions(tabled, "a") == [(4, 4), (3, None), (2, 2), (1, 1)]
    assert not forgotten
    assert [each.is_present for each in found] == [True, False, False, False]
    assert found[0].entry.expires_at == tabled.now + HOUR
    assert (found[2].entry.updated_by, found[2].entry.attempt) == (f"run:{claimed.id}", 1)
    assert (found[3].entry.updated_by, found[3].entry.updated_at) == ("key:ann", NOON)


def test_versions_come_in_pages(tabled: World) -> None:
    for number in range(5):
        tabled.set("a", number)

    assert versions(tabled, "a", limit=2) == [(5, 4), (4, 3)]
    assert versions(tabled, "a", before=4, limit=2) == [(3, 2), (2, 1)]
    assert versions(tabled, "a", before=1) == []


@pytest.mark.parametrize("kept", [1, 2, 3, 20])
def test_as_many_versions_are_kept_as_the_task_says(world: World, kept: int) -> None:
    world.register(kv_history=kept)
    for number in range(25):
        world.set("a", number)

    _, forgotten = world.read(list_versions, "t", "a", None, 99)

    assert versions(world, "a") == [(n + 1, n) for n in range(24, 24 - kept, -1)]
    assert forgotten


def test_a_removal_counts_as_a_version(world: World) -> None:
    world.register(kv_history=2)
    for number in range(3):
        world.set("a", number)
    world.do(delete_entry("t", "a"))

    assert versions(world, "a") == [(4, None), (3, 2)]


def test_an_entry_without_a_history_is_not_found(tabled: World) -> None:
    for name, key in (("t", "a"), ("u", "a")):
        with pytest.raises(NotFound):
            tabled.read(list_versions, name, key, None, 9)


def test_an_entry_that_expired_was_removed_by_rota(tabled: World) -> None:
    tabled.set("a", 1, ttl=SECOND)
    tabled.clock.advance(SECOND)
    tabled.do(RemoveExpired(9))

    found, _ = tabled.read(list_versions, "t", "a", None, 9)

    assert versions(tabled, "a") == [(2, None), (1, 1)]
    assert found[0].entry.updated_by == "rota"


# ------------------------------------------------------------------------------------------- the table as it was
def test_the_table_is_shown_as_it_was_at_a_time(tabled: World) -> None:
    times = []
    for number in range(3):
        tabled.set("a", number)
        tabled.set(f"b{number}", number)
        times.append(tabled.now)
        tabled.clock.advance(HOUR)
    tabled.do(delete_entry("t", "b0"))

    assert then(tabled, times[0] - SECOND) == {}
    assert then(tabled, times[0]) == {"a": 0, "b0": 0}
    assert then(tabled, times[1]) == then(tabled, times[2] - SECOND) == {"a": 1, "b0": 0, "b1": 1}
    assert then(tabled, tabled.now) == {"a": 2, "b1": 1, "b2": 2}
    assert then(tabled, tabled.now + HOUR) == {"a": 2, "b1": 1, "b2": 2}


def test_the_table_is_shown_as_it_was_before_a_run(tabled: World) -> None:
    tabled.set("a", 0)
    first, second = [_run(tabled, a=number, b=number) for number in (1, 2)]
    tabled.set("a", 3)

    assert then(tabled, first) == {"a": 0}
    assert then(tabled, second) == {"a": 1, "b": 1}


def _run(world: World, **entries: Any) -> Id:
    claimed = world.start()
    world.succeed(claimed, **entries)
    return claimed.id


def test_before_a_run_that_wrote_nothing_is_when_it_started(tabled: World) -> None:
    tabled.set("a", 0)
    claimed = tabled.start()
    tabled.clock.advance(HOUR)
    tabled.set("a", 1)
    tabled.succeed(claimed)
    _run(tabled)

    assert then(tabled, claimed.id) == {"a": 0}


def test_a_run_of_another_task_and_a_revision_ahead_are_no_moments(tabled: World) -> None:
    tabled.register("u")
    other = tabled.start("u")

    for unknown in (other.id, random_id()):
        with pytest.raises(NotFound):
            then(tabled, unknown)
    with pytest.raises(Invalid):
        then(tabled, 1)
    assert then(tabled, 0) == {}


def test_what_had_expired_then_is_not_shown(tabled: World) -> None:
    tabled.set("a", 1, ttl=HOUR)
    tabled.clock.advance(2 * HOUR)
    tabled.do(RemoveExpired(9))
    tabled.set("a", 2)

    assert then(tabled, NOON + HOUR - SECOND) == {"a": 1}
    assert then(tabled, NOON + HOUR) == {}


def test_the_table_as_it_was_has_filters_and_pages(
    tabled: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("a", "b:1", "b:2", "b:3", "c"):
        tabled.set(key, key)
    revision = tabled.set("d", 1).version
    for key in ("a", "b:2", "c"):
        tabled.do(delete_entry("t", key))

    assert [*then(tabled, revision, prefix="b:")] == ["b:1", "b:2", "b:3"]
    assert [*then(tabled, revision, keys=("c", "b:1", "x"))] == ["b:1", "c"]
    assert [*then(tabled, revision, start="b:2", end="c")] == ["b:2", "b:3"]
    first = page(tabled, revision, limit=2)
    assert ([each.key for each in first.items], first.position) == (["a", "b:1"], "b:1")
    monkeypatch.setattr(kv_history, "MOST_EXAMINED", 2)
    assert _walk(tabled, revision) == ["a", "b:1", "b:2", "b:3", "c", "d"]
    assert _walk(tabled, tabled.now) == ["b:1", "b:3", "d"]


def _walk(world: World, wanted: Any) -> list[str]:
    found: list[str] = []
    position: str | None = ""
    while position is not None:
        some = page(world, wanted, after=position, limit=2)
        found += [each.key for each in some.items]
        position = some.position
    return found


def test_the_table_as_it_was_can_come_without_values(tabled: World) -> None:
    revision = tabled.set("a", "x" * 50).version
    tabled.set("a", 1)

    moment = tabled.read(find_moment, "t", revision, tabled.now)
    found = tabled.read(list_historic_entries, "t", moment, KvFilter(), limit=9, with_values=False)

    assert [(each.value, each.size) for each in found.items] == [(b"", 52)]


def test_forgotten_versions_are_reported_as_missing(world: World) -> None:
    world.register(kv_history=2)
    world.set("kept", 0)
    for number in range(4):
        world.set("a", number)

    found = page(world, 2)

    assert ([each.key for each in found.items], found.missing) == (["kept"], ["a"])
    assert found.is_whole
    assert page(world, 2, keys=("kept",)).missing == []
    assert then(world, 4) == {"a": 2, "kept": 0}


def test_an_entry_that_was_removed_and_forgotten_is_not_taken_for_one_that_never_was(
    world: World,
) -> None:
    world.register(kv_history=1)
    world.set("a", 1)
    world.do(delete_entry("t", "a"))
    world.set("a", 2)
    world.set("a", 3)

    assert [page(world, revision).missing for revision in (0, 1, 2, 3, 4)] == [
        ["a"],
        ["a"],
        ["a"],
        ["a"],
        [],
    ]


def test_nothing_is_known_of_the_time_when_no_history_was_kept(world: World) -> None:
    world.register(kv_history=0)
    world.set("a", 1)
    world.set("b", 1)
    world.clock.advance(HOUR)
    world.do(delete_entry("t", "b"))
    world.register(kv_history=5, on_conflict="update")
    world.clock.advance(HOUR)
    world.set("a", 2)

    found = page(world, 2)
    assert ([each.key for each in found.items], found.missing, found.is_whole) == ([], ["a"], False)
    assert not page(world, NOON).is_whole
    assert then(world, NOON + HOUR) == then(world, 3) == {"a": 1}
    assert versions(world, "a") == [(4, 2), (1, 1)]


def test_with_its_history_a_task_gives_up_what_was_kept(world: World) -> None:
    world.register(kv_history=5)
    for number in range(3):
        for key in ("a", "b"):
            world.set(key, number)
    world.register(kv_history=0, on_conflict="update")

    world.set("a", 9)

    assert (versions(world, "a"), versions(world, "b")) == ([(7, 9)], [(6, 2)])


# -------------------------------------------------------------------------------------------------- the way back
def test_a_table_is_made_as_it_was_before_a_run_and_back_again(tabled: World) -> None:
    tabled.set("a", 0)
    tabled.set("gone", "x")
    tabled.set("same", 1)
    run = _run(tabled, a=1, new=1, gone=None)
    before = tabled.task().id

    made = work_out(tabled, run)
    revision = tabled.do(Revert(task="t", reversion=made, by="key:ann", limits=DEFAULT_LIMITS))

    assert (sorted(made.entries), made.removed) == (["a", "gone"], ["new"])
    assert tabled.entries() == {"a": 0, "gone": "x", "same": 1}
    assert versions(tabled, "a") == [(5, 0), (4, 1), (1, 0)]
    assert (revision, before) == (5, made.task_id)
    assert revert(tabled, made.revision) == 6
    assert tabled.entries() == {"a": 1, "new": 1, "same": 1}


def test_reverting_twice_writes_nothing_the_second_time(tabled: World) -> None:
    tabled.set("a", 0)
    run = _run(tabled, a=1)

    revisions = [revert(tabled, run), revert(tabled, run)]

    assert revisions == [3, 3]
    assert len(versions(tabled, "a")) == 3


def test_what_was_not_known_any_more_is_not_reverted(world: World) -> None:
    world.register(kv_history=2)
    for number in range(4):
        world.set("a", number)
        world.set("b", 1)

    with pytest.raises(Conflict) as refused:
        revert(world, 1)

    assert refused.value.slug == "history-too-short"
    assert refused.value.present == {"missing": ["a", "b"], "known_from": 0}
    assert world.entries() == {"a": 3, "b": 1}


def test_a_table_without_history_cannot_be_reverted(world: World) -> None:
    world.register(kv_history=0)
    world.set("a", 1)
    world.do(delete_entry("t", "a"))

    with pytest.raises(Conflict) as refused:
        revert(world, 1)

    assert refused.value.present == {"missing": [], "known_from": 2}


def test_what_was_to_expire_still_does_and_what_has_stays_away(tabled: World) -> None:
    tabled.set("short", 1, ttl=SECOND)
    revision = tabled.set("long", 1, ttl=HOUR).version
    for key in ("short", "long"):
        tabled.set(key, 2)
    tabled.clock.advance(SECOND)

    revert(tabled, revision)

    assert tabled.entries() == {"long": 1}
    tabled.clock.advance(HOUR)
    assert tabled.entries() == {}


def test_a_reversion_does_not_overwrite_what_it_has_not_seen(tabled: World) -> None:
    tabled.set("a", 0)
    tabled.set("a", 1)
    made = work_out(tabled, 1)
    tabled.set("b", 1)

    with pytest.raises(TableChanged):
        tabled.do(Revert(task="t", reversion=made, by="me", limits=DEFAULT_LIMITS))

    assert tabled.entries() == {"a": 1, "b": 1}


def test_a_table_of_a_task_that_is_gone_is_not_reverted(tabled: World) -> None:
    tabled.set("a", 0)
    made = work_out(tabled, 0)
    tabled.delete()
    tabled.register()

    with pytest.raises(NotFound):
        tabled.do(Revert(task="t", reversion=made, by="me", limits=DEFAULT_LIMITS))


def test_a_reversion_that_does_not_fit_any_more_writes_nothing(tabled: World) -> None:
    for key in ("a", "b"):
        tabled.set(key, "x" * 40)
    for key in ("a", "b"):
        tabled.do(delete_entry("t", key))

    with pytest.raises(Conflict) as refused:
        revert(tabled, 2, KvLimits(value_bytes=10, entries=9, total_bytes=50))

    assert refused.value.slug == "kv-full"
    assert tabled.entries() == {}
    assert revert(tabled, 2, KvLimits(value_bytes=10, entries=9, total_bytes=90)) == 5


def test_a_key_that_is_not_taken_any_more_is_not_brought_back(tabled: World) -> None:
    tabled.set("user:1", "x")
    tabled.do(delete_entry("t", "user:1"))

    with pytest.raises(Invalid) as refused:
        revert(tabled, 1, KvLimits(key_pattern="[a-z]+"))

    assert refused.value.slug == "invalid-key"
    assert tabled.entries() == {}


# ----------------------------------------------------------------------------------------------- an import of many
def test_entries_are_imported_beside_the_others_or_instead_of_them(tabled: World) -> None:
    tabled.set("a", 1)
    tabled.set("b", 1)
    _run(tabled)
    coming = {"a": Present(b"1"), "c": Present(b"\x00", "image/png", NOON + HOUR)}

    def take(*, replace: bool) -> Imported:
        return tabled.do(
            Import(task="t", entries=coming, replace=replace, by="me", limits=DEFAULT_LIMITS)
        )

    assert take(replace=False) == Imported(set=1, unchanged=1, deleted=0)
    assert take(replace=True) == Imported(set=0, unchanged=2, deleted=1)
    assert take(replace=True) == Imported(set=0, unchanged=2, deleted=0)
    found = {each.key: each for each in page(tabled, tabled.now).items}
    assert found.keys() == {"a", "c"}
    assert (found["c"].value, found["c"].content_type) == (b"\x00", "image/png")
    assert found["c"].expires_at == NOON + HOUR


def test_an_import_that_does_not_fit_writes_nothing(tabled: World) -> None:
    tabled.set("a", 1)
    coming = {f"k{number}": Present(b"1") for number in range(4)}
    limits = KvLimits(entries=4)

    with pytest.raises(Conflict):
        tabled.do(Import(task="t", entries=coming, replace=False, by="me", limits=limits))
    assert tabled.entries() == {"a": 1}
    tabled.do(Import(task="t", entries=coming, replace=True, by="me", limits=limits))
    assert tabled.entries() == dict.fromkeys(coming, 1)


# --------------------------------------------------------------------------------------------------- the model
KEYS = st.sampled_from(["a", "a:1", "b", "c"])
TTLS = st.none() | st.integers(1, 4).map(lambda seconds: seconds * SECOND)
_NUMBER = count(1)
Table = Mapping[str, tuple[Any, datetime | None]]


class HistoryMachine(RuleBasedStateMachine):
    """A table whose past is kept by the database and, whole, by a list: what the database returns of it is true."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.name = f"t{next(_NUMBER)}"
        self.world.register(self.name, kv_history=3)
        #: What the table held, expired entries included, from each revision on, and when it was written.
        self.past: list[tuple[Table, datetime]] = [({}, self.world.now)]

    @property
    def held(self) -> dict[str, tuple[Any, datetime | None]]:
        return dict(self.past[-1][0])

    def _revision(self, after: Table) -> None:
        self.past.append((after, self.world.now))

    @rule(key=KEYS, value=st.integers(0, 9), ttl=TTLS)
    def write(self, key: str, value: int, ttl: timedelta | None) -> None:
        self.world.do(set_entry(self.name, key, str(value).encode(), ttl))
        expiry = None if ttl is None else self.world.now + ttl
        self._revision(self.held | {key: (value, expiry)})

    @rule(keys=st.sets(KEYS, min_size=1), value=st.integers(0, 9))
    def set_some_and_delete_one(self, keys: set[str], value: int) -> None:
        gone, *some = sorted(keys)
        before = self.held
        now = self.world.now
        sets = [Set(key, str(value).encode()) for key in some]
        self.world.do(Transact(task=self.name, operations=(*sets, Delete(gone)), by="me"))
        after = before | dict.fromkeys(some, (value, None))
        expiry = before[gone][1] if gone in before else now
        if expiry is None or expiry > now:
            del after[gone]
        if some or after != before:
            self._revision(after)

    @rule(seconds=st.integers(1, 3))
    def let_time_pass(self, seconds: int) -> None:
        self.world.clock.advance(seconds * SECOND)

    @rule()
    def remove_what_has_expired(self) -> None:
        now = self.world.now
        live = {key: each for key, each in self.held.items() if each[1] is None or each[1] > now}
        if len(live) < len(self.held):
            self._revision(live)
        self.world.do(RemoveExpired(99))

    @rule(kept=st.sampled_from([0, 1, 2, 5]))
    def keep_more_or_less(self, kept: int) -> None:
        self.world.register(self.name, kv_history=kept, on_conflict="update")

    @rule(back=st.integers(0, 4))
    def revert(self, back: int) -> None:
        revision = max(0, len(self.past) - 1 - back)
        moment = self.world.read(find_moment, self.name, revision, self.world.now)
        try:
            made = work_out(self.world, revision, self.name)
        except Conflict:
            return
        self.world.do(Revert(task=self.name, reversion=made, by="me", limits=DEFAULT_LIMITS))
        now = self.world.now
        expected = {
            key: (value, expiry)
            for key, (value, expiry) in self.past[revision][0].items()
            if expiry is None or (expiry > moment.at and expiry > now)
        }
        expired = {
            key: each
            for key, each in self.held.items()
            if each[1] is not None and each[1] <= now and key not in expected
        }
        if made.entries or set(self.held) - set(expected) - set(expired):
            self._revision(expired | expected)

    @invariant()
    def history_is_true_and_gaps_are_reported(self) -> None:
        for revision, (table, _) in enumerate(self.past):
            moment = self.world.read(find_moment, self.name, revision, self.world.now)
            live = {
                key: value
                for key, (value, expiry) in table.items()
                if expiry is None or expiry > moment.at
            }
            self._compare(moment, live)

    @invariant()
    def a_time_means_the_table_of_that_time(self) -> None:
        for number, (table, at) in enumerate(self.past[1:-1], 1):
            if self.past[number + 1][1] == at:
                continue
            moment = self.world.read(find_moment, self.name, at, self.world.now)
            live = {
                key: value
                for key, (value, expiry) in table.items()
                if expiry is None or expiry > at
            }
            self._compare(moment, live)

    def _compare(self, moment: Any, live: dict[str, Any]) -> None:
        found = self.world.read(list_historic_entries, self.name, moment, KvFilter(), limit=99)
        shown = {each.key: json_text.loads(each.value) for each in found.items}
        assert not shown.keys() & set(found.missing)
        for key in shown.keys() | live.keys():
            if key not in found.missing and (found.is_whole or key in shown):
                assert shown.get(key, "none") == live.get(key, "none"), (moment, key)


def test_the_history_matches_what_was_written(world: World) -> None:
    _compare(world, examples=6 if world.is_sqlite else 3)


@torture(Part.HISTORIES)
def test_a_long_history_matches_what_was_written(world: World) -> None:
    _compare(world, examples=100)


def _compare(world: World, examples: int) -> None:
    machine: Callable[..., Any] = type("Machine", (HistoryMachine,), {"world": world})

    run_state_machine_as_test(
        machine,  # type: ignore[arg-type]
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
