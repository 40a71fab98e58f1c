"""The whole key-value table against a dictionary: whatever is done to it, it holds what the dictionary holds."""

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import select

from rota.db import tables
from rota.domain.kv.draft import KvDraft
from rota.domain.kv.entries import KvLimits
from rota.domain.kv.operations import (
    Append,
    Check,
    Delete,
    Expire,
    Increment,
    Max,
    Operation,
    Set,
    SetOnce,
)
from rota.domain.primitives.json import json_text
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Fatal, Succeeded
from rota.domain.runs.status import RunStatus
from rota.errors import AppError, Conflict, Invalid
from rota.store.kv.entries import KvFilter, count_entries, list_entries, snapshot
from rota.store.kv.transactions import DeletePrefix, RemoveExpired, Transact
from tests.support.factories import World
from tests.support.torture import Part, torture

SECOND = timedelta(seconds=1)
HISTORY = 3
LIMITS = KvLimits(value_bytes=60, entries=6, total_bytes=150)
KEYS = st.sampled_from(["a", "a:1", "a:2", "b", "b:1", "c", "d", "e"])
TTLS = st.none() | st.integers(1, 5).map(lambda seconds: seconds * SECOND)
JSON = st.sampled_from(
    [None, True, 0, 7, -2.5, "", "m", "zz", [], [1], ["x", "y"], {}, {"n": 5.0}, "x" * 40]
)
ENCODED = JSON.map(lambda value: json_text.dumps(value).encode())
NUMBERS = st.sampled_from([0, 1, -3, 0.5, 10**20])
ENTRY = tuple[Any, datetime | None]
Table = dict[str, ENTRY]


class Impossible(Exception):
    """The model says that an operation cannot be done."""


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def apply(table: Table, operation: Operation, now: datetime) -> None:  # noqa: C901  # one case each, side by side
    """Do to a dictionary what the operation does to a table by its documentation."""
    key = operation.key
    value, expires_at = table.get(key, (None, None))
    match operation:
        case Set() | SetOnce():
            if isinstance(operation, Set) or key not in table:
                ttl = operation.ttl
                table[key] = (json_text.loads(operation.value), None if ttl is None else now + ttl)
        case Delete():
            table.pop(key, None)
        case Expire(ttl=ttl):
            demand(key in table)
            table[key] = (value, None if ttl is None else now + ttl)
        case Increment(by=by):
            demand(key not in table or is_number(value))
            table[key] = ((value if key in table else 0) + by, expires_at)
        case Append(value=item, max_length=most):
            demand(key not in table or isinstance(value, list))
            made = [*(value if key in table else []), json_text.loads(item)]
            table[key] = (made[-most:] if most else made, expires_at)
        case Max(value=new):
            raised = json_text.loads(new)
            demand(is_number(raised) or isinstance(raised, str))
            if key in table:
                demand(
                    (is_number(value) and is_number(raised))
                    or (isinstance(value, str) and isinstance(raised, str))
                )
            if key not in table or raised > value:
                table[key] = (raised, expires_at)
        case Check(value=wanted):
            if wanted is None:
                demand(key not in table)
            else:
                demand(key in table and json_text.dumps(value).encode() == wanted)
    demand(key not in table or size(table[key][0]) <= LIMITS.value_bytes)


def demand(condition: object) -> None:
    if not condition:
        raise Impossible


def size(value: Any) -> int:
    return len(json_text.dumps(value).encode())


def total(table: Table) -> int:
    return sum(size(value) for value, _ in table.values())


OPERATIONS: st.SearchStrategy[Operation] = st.one_of(
    st.builds(Set, KEYS, ENCODED, TTLS),
    st.builds(SetOnce, KEYS, ENCODED, TTLS),
    st.builds(Delete, KEYS),
    st.builds(Expire, KEYS, TTLS),
    st.builds(Increment, KEYS, NUMBERS),
    st.builds(Append, KEYS, ENCODED, st.none() | st.integers(1, 3)),
    st.builds(Max, KEYS, ENCODED),
    st.builds(Check, KEYS, st.none(), st.none() | ENCODED),
)
_NUMBER = count(1)


class KvMachine(RuleBasedStateMachine):
    """A table in the database, and the dictionary that it is to be like; `held` includes what has expired."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.name = f"t{next(_NUMBER)}"
        self.world.register(self.name, kv_history=HISTORY, overlap_policy="allow")
        self.held: Table = {}

    @property
    def live(self) -> Table:
        now = self.world.now
        return {key: each for key, each in self.held.items() if each[1] is None or each[1] > now}

    @rule(operations=st.lists(OPERATIONS, min_size=1, max_size=4))
    def transact(self, operations: list[Operation]) -> None:
        after, changed = self.live, set()
        possible = True
        try:
            for operation in operations:
                before = after.get(operation.key)
                apply(after, operation, self.world.now)
                if after.get(operation.key) is not before:
                    changed.add(operation.key)
        except Impossible:
            possible = False
        command = Transact(task=self.name, operations=tuple(operations), by="me", limits=LIMITS)
        try:
            self.world.do(command)
        except Conflict as error:
            full = error.slug == "kv-full"
            assert self._is_full(after, changed) if full else not possible
        else:
            assert possible
            self._keep(after, changed)

    def _keep(self, after: Table, changed: set[str]) -> None:
        """What has expired stays in the table until it is removed or written anew."""
        stays = {key: each for key, each in self.held.items() if key not in changed}
        self.held = stays | {key: after[key] for key in changed if key in after}

    def _is_full(self, after: Table, changed: set[str]) -> bool:
        stays = {key: each for key, each in self.held.items() if key not in changed}
        made = stays | {key: after[key] for key in changed if key in after}
        return len(made) > LIMITS.entries or total(made) > LIMITS.total_bytes

    @rule(prefix=st.sampled_from(["a", "a:", "b", "x"]))
    def delete_prefix(self, prefix: str) -> None:
        gone = self.world.do(DeletePrefix(task=self.name, prefix=prefix, by="me"))

        assert gone == sum(key.startswith(prefix) for key in self.live)
        self.held = {
            key: each
            for key, each in self.held.items()
            if key not in self.live or not key.startswith(prefix)
        }

    @rule(seconds=st.integers(1, 4))
    def let_time_pass(self, seconds: int) -> None:
        self.world.clock.advance(seconds * SECOND)

    @rule()
    def remove_what_has_expired(self) -> None:
        while self.world.do(RemoveExpired(2)):
            pass
        self.held = self.live

    @rule(operations=st.lists(OPERATIONS, max_size=4), succeeds=st.booleans())
    def run(self, operations: list[Operation], *, succeeds: bool) -> None:
        """A run does to its table what it may, sees it at once, and others see it if it succeeds."""
        claimed = self.world.start(self.name)
        draft = KvDraft(LIMITS.value_bytes)
        draft.load(self.world.read(snapshot, claimed.task_id, self.world.now))
        seen = self.live
        for operation in operations:
            do_in_draft(draft, seen, operation, self.world.now)
        assert dict(draft.items()) == {
            **{key: value for key, (value, _) in seen.items()},
            **{key: value for key, value in draft.items() if key.startswith("_")},
        }
        if not succeeds:
            self.world.end(claimed, Fatal(RunError("broken", "on purpose")))
            return
        outcome = Succeeded("null", draft.changes, draft.revision or 0)
        settled = self.world.end(claimed, outcome)
        assert settled.status is RunStatus.SUCCEEDED
        self._keep(seen, {change.key for change in draft.changes})

    @invariant()
    def the_table_is_as_the_dictionary(self) -> None:
        found = self.world.read(list_entries, self.name, KvFilter(), self.world.now, limit=1_000)
        shown = {
            each.key: (json_text.loads(each.value), each.expires_at)
            for each in found
            if not each.key.startswith("_")
        }
        assert shown == self.live

    @invariant()
    def what_is_counted_is_what_is_there(self) -> None:
        row = self._row()
        assert (row.kv_entries, row.kv_bytes) == (len(self.held), total(self.held))
        own = KvFilter(start="A")
        number, size_of_all = self.world.read(count_entries, self.name, own, self.world.now)
        results = self.world.read(count_entries, self.name, KvFilter(prefix="_"), self.world.now)
        live = (number - results[0], size_of_all - results[1])
        assert live == (len(self.live), total(self.live))

    @invariant()
    def of_no_key_more_is_kept_than_was_asked_for(self) -> None:
        history = tables.kv_history.c
        kept = select(history.key, history.version, history.value).where(
            history.task_id == self._row().id, history.content_type != ""
        )
        with self.world.database.read() as connection:
            rows = connection.execute(kept).all()
        for key in {row.key for row in rows}:
            versions = [row.version for row in rows if row.key == key]
            assert len(versions) == len(set(versions))
            assert len(versions) <= HISTORY

    def _row(self) -> Any:
        with self.world.database.read() as connection:
            wanted = select(tables.task).where(tables.task.c.name == self.name)
            return connection.execute(wanted).one()


def do_in_draft(draft: KvDraft, seen: Table, operation: Operation, now: datetime) -> None:
    """Do an operation in a run, and to the dictionary if the run may."""
    after = dict(seen)
    try:
        apply(after, operation, now)
        possible = True
    except Impossible:
        possible = False
    if isinstance(operation, Check):
        return
    try:
        _IN_DRAFT[type(operation)](draft, operation)
    except (Invalid, AppError):
        assert not possible
        return
    assert possible
    if isinstance(operation, Increment | Append | Max) and operation.key in seen:
        after[operation.key] = (after[operation.key][0], seen[operation.key][1])
    seen.clear()
    seen.update(after)


_IN_DRAFT: dict[type, Callable[[KvDraft, Any], object]] = {
    Set: lambda draft, each: draft.set(each.key, json_text.loads(each.value), each.ttl),
    SetOnce: lambda draft, each: draft.set_once(each.key, json_text.loads(each.value), each.ttl),
    Delete: lambda draft, each: draft.delete(each.key),
    Expire: lambda draft, each: draft.expire(each.key, each.ttl),
    Increment: lambda draft, each: draft.commute(each),
    Append: lambda draft, each: draft.commute(each),
    Max: lambda draft, each: draft.commute(each),
}


def test_the_table_is_as_a_dictionary_would_be(world: World) -> None:
    _compare(world, examples=8 if world.is_sqlite else 4)


@torture(Part.HISTORIES)
def test_the_table_is_for_long_as_a_dictionary_would_be(world: World) -> None:
    _compare(world, examples=200)


def _compare(world: World, examples: int) -> None:
    machine = type("Machine", (KvMachine,), {"world": world})

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
