"""The audit log: written in the commit of a change, with what differs, and never changed."""

import json
import os
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, update
from sqlalchemy.event import listen
from sqlalchemy.exc import DBAPIError

from rota.db import tables
from rota.db.command import Command
from rota.db.encryption import Keyring
from rota.domain.access.names import NameLimit
from rota.domain.audit.actions import Action, Kind
from rota.domain.audit.author import Author
from rota.domain.tasks.definition import OnConflict
from rota.errors import Conflict, NotFound
from rota.store.audit.audited import Audited, Made, audited
from rota.store.audit.kv_subjects import Entries
from rota.store.audit.reading import AuditFilter, list_entries
from rota.store.audit.registrations import all_registered, registered
from rota.store.audit.retention import RemoveEntries
from rota.store.audit.subjects import Named, Tasks
from rota.store.handlers import Announce, HandlerInfo
from rota.store.idempotency import Once, Reply
from rota.store.runs.queues import PutQueue
from rota.store.tasks.lifecycle import Change, Delete, Pause
from rota.store.tasks.registration import Register, RegisterAll
from tests.support.factories import (
    DAY,
    MINUTE,
    NOON,
    World,
    define,
    delete_entry,
    set_entry,
    together,
)

ANN = Author(principal="key:ann", key_id="abcdefghijkl", address="192.0.2.7", request_id="r-1")
HTTP = HandlerInfo(name="http", description="", input_schema=None, timeout=None, isolation="async")
URL = "https://app.example.com/jobs"


@pytest.fixture
def sealed(migrated_database_url: str) -> Iterator[World]:
    made = World(migrated_database_url, keyring=Keyring({"k1": os.urandom(32)}))
    yield made
    made.close()


def register(name: str = "t", **fields: Any) -> Audited[Any]:
    on_conflict = fields.pop("on_conflict", OnConflict.UPDATE)
    command = Register(name=name, definition=define(**fields), on_conflict=on_conflict)
    return by_ann(command, Action.TASK_DECLARED, Tasks((name,)), changes_of=registered)


def pause(name: str = "t") -> Audited[Any]:
    return by_ann(Pause(Change(name=name, by="ann")), Action.TASK_PAUSED, Tasks((name,)))


def by_ann(command: Command[Any], action: Action, subjects: Any, **entry: Any) -> Audited[Any]:
    return audited(command, author=ANN, action=action, subjects=subjects, **entry)


def log(world: World, **wanted: Any) -> list[dict[str, Any]]:
    """Return the entries, the oldest first, with what differs as it was stored."""
    rows = world.read(list_entries, AuditFilter(**wanted), None, 1_000)
    return [
        {
            **row._asdict(),
            **{
                side: json.loads(getattr(row, side) or "null")
                for side in ("before", "after", "details")
            },
        }
        for row in reversed(rows)
    ]


def sides(entry: dict[str, Any]) -> tuple[Any, Any]:
    return entry["before"], entry["after"]


# ----------------------------------------------------------------------------------------------- what an entry has
def test_an_entry_says_who_changed_what_from_where(world: World) -> None:
    world.do(register())
    world.do(pause())

    entry = log(world)[-1]

    assert entry["principal"] == "key:ann"
    assert (entry["key_id"], entry["address"], entry["request_id"]) == (
        "abcdefghijkl",
        "192.0.2.7",
        "r-1",
    )
    assert (entry["action"], entry["kind"], entry["name"], entry["task"]) == (
        "task.paused",
        "task",
        "t",
        "t",
    )
    assert entry["at"] == NOON
    assert sides(entry) == ({"status": "active"}, {"status": "paused"})


def test_a_task_that_was_created_has_no_before_and_one_that_was_deleted_no_after(
    world: World,
) -> None:
    world.do(register(tags=["a"]))
    world.do(by_ann(Delete(Change(name="t", by="ann")), Action.TASK_DELETED, Tasks(("t",))))

    created, deleted = log(world)

    assert created["before"] is None
    assert created["after"]["tags"] == ["a"]
    assert created["after"] == deleted["before"]
    assert deleted["after"] is None


def test_only_the_fields_that_differ_are_kept(world: World) -> None:
    world.do(register(input={"n": 1}, priority=3))
    world.do(register(input={"n": 2}))

    assert sides(log(world)[-1]) == (
        {"priority": 3, "input": {"n": 1}, "generation": 1},
        {"input": {"n": 2}, "generation": 2},
    )


def test_what_changes_nothing_leaves_no_entry(world: World) -> None:
    world.do(register())
    world.do(register())

    assert len(log(world)) == 1


def test_what_is_refused_leaves_no_entry(world: World) -> None:
    with pytest.raises(NotFound):
        world.do(pause("missing"))
    world.do(register())
    with pytest.raises(Conflict):
        world.do(register(on_conflict=OnConflict.REJECT))

    assert len(log(world)) == 1


def test_of_a_large_field_only_the_size_is_kept(world: World) -> None:
    world.do(register(input="x" * 5_000))

    assert log(world)[0]["after"]["input"] == {"omitted_bytes": 5_002}


def test_a_row_that_is_set_has_what_differs(world: World) -> None:
    for concurrency in (2, 2, 3):
        command = PutQueue(name="q", concurrency=concurrency, paused=False, by="ann")
        world.do(by_ann(command, Action.QUEUE_SET, Named(Kind.QUEUE, "q")))

    first, second = log(world)
    assert sides(first) == (None, {"concurrency": 2, "paused": False})
    assert sides(second) == ({"concurrency": 2}, {"concurrency": 3})
    assert second["task"] is None


def test_what_was_made_is_described_by_its_result(world: World) -> None:
    def made(_: Any) -> Sequence[Made]:
        return [Made(kind=Kind.RUN, name="r", task="t", after={"status": "queued"})]

    world.do(register())
    command = Pause(Change(name="t", by="ann"))
    world.do(
        audited(command, author=ANN, action=Action.RUN_REQUESTED, made=made, details={"bulk": True})
    )

    entry = log(world)[-1]
    assert (entry["kind"], entry["name"], entry["task"]) == ("run", "r", "t")
    assert (sides(entry), entry["details"]) == ((None, {"status": "queued"}), {"bulk": True})


# ------------------------------------------------------------------------------------------------------- together
def test_commands_that_are_committed_together_have_an_entry_each(world: World) -> None:
    world.do(register("known"))
    commands = [*(register(f"t{number}") for number in range(5)), register("known", priority=1)]
    answers = together(world.writer, commands)

    assert [answer.exception() for answer in answers] == [None] * 6
    entries = log(world)[1:]
    assert [entry["name"] for entry in entries] == [*(f"t{number}" for number in range(5)), "known"]
    assert sides(entries[-1]) == ({"generation": 1}, {"priority": 1, "generation": 2})


def test_changes_of_one_task_in_a_commit_each_have_their_own_before_and_after(world: World) -> None:
    together(world.writer, [register(priority=number) for number in (1, 2, 3)])

    assert [(entry["before"] or {}).get("priority") for entry in log(world)] == [None, 1, 2]
    assert [entry["after"]["priority"] for entry in log(world)] == [1, 2, 3]


def test_a_refused_command_of_a_group_leaves_no_entry_and_does_not_affect_the_others(
    world: World,
) -> None:
    world.do(register("taken"))
    taken = register("taken", on_conflict=OnConflict.REJECT)
    answers = together(world.writer, [register("a"), taken, register("b")])

    assert isinstance(answers[1].exception(), Conflict)
    assert [entry["name"] for entry in log(world)] == ["taken", "a", "b"]


def test_a_batch_has_an_entry_for_each_task(world: World) -> None:
    names = [f"t{number:03}" for number in range(101)]
    items = tuple(Register(name=name, definition=define()) for name in names)
    batch = RegisterAll(items)
    world.do(by_ann(batch, Action.TASK_REGISTERED, Tasks(names), changes_of=all_registered))

    entries = log(world)
    assert sorted(entry["name"] for entry in entries) == names
    assert entries[0]["after"] == {"status": "active", "status_reason": None, "generation": 1}


def test_a_replayed_request_has_one_entry(world: World) -> None:
    once = Once(
        key="k",
        principal="ann",
        fingerprint="f",
        command=register(),
        render=lambda _: Reply(201, {}, b""),
    )
    world.do(once)
    world.do(once)

    assert len(log(world)) == 1


# -------------------------------------------------------------------------------------------------------- secrets
def test_of_kv_values_only_keyed_digests_are_kept(sealed: World) -> None:
    sealed.register()
    for value in (b'"guessable"', b'"other"', b'"guessable"'):
        sealed.do(by_ann(set_entry("t", "pin", value), Action.KV_SET, Entries("t", ("pin",))))
    sealed.do(by_ann(delete_entry("t", "pin"), Action.KV_DELETED, Entries("t", ("pin",))))

    first, second, third, removed = log(sealed)
    digests = [entry["after"]["pin"]["value"]["digest"] for entry in (first, second, third)]
    assert digests[0] == digests[2] != digests[1]
    assert all(digest.startswith("hmac:k1:") for digest in digests)
    assert (first["kind"], first["name"], first["task"]) == ("kv", "t", "t")
    assert first["before"] == {}
    assert (second["before"]["pin"]["version"], second["after"]["pin"]["version"]) == (1, 2)
    assert sides(removed)[1] == {}
    assert "guessable" not in json.dumps(log(sealed), default=str)


def test_without_encryption_keys_there_is_no_digest_that_would_confirm_a_guess(
    world: World,
) -> None:
    world.register()
    world.do(by_ann(set_entry("t", "pin", b"1234"), Action.KV_SET, Entries("t", ("pin",))))

    assert log(world)[0]["after"]["pin"]["value"] == {"redacted": True}


def test_equal_values_of_different_tasks_have_different_digests(sealed: World) -> None:
    for name in ("a", "b"):
        sealed.register(name)
        sealed.do(by_ann(set_entry(name, "pin", b"1234"), Action.KV_SET, Entries(name, ("pin",))))

    one, other = (entry["after"]["pin"]["value"]["digest"] for entry in log(sealed))
    assert one != other


def test_no_secret_header_is_in_the_log(world: World) -> None:
    _no_secret_header_is_in_the_log_of(world)


def test_no_sealed_header_is_in_the_log(sealed: World) -> None:
    _no_secret_header_is_in_the_log_of(sealed)


def _no_secret_header_is_in_the_log_of(world: World) -> None:
    world.do(Announce((HTTP,)))
    for token in ("first-secret", "second-secret"):
        headers = {"Authorization": token, "X-Shown": token[:5]}
        world.do(register(handler="http", target={"url": URL, "headers": headers}))

    entry = log(world)[-1]
    assert entry["after"]["target"]["headers"]["X-Shown"] == "secon"
    assert entry["after"]["target"]["headers"]["Authorization"]["redacted"] is True
    assert "-secret" not in json.dumps(log(world), default=str)


def test_no_secret_input_is_in_the_log_not_even_the_one_that_became_secret(sealed: World) -> None:
    sealed.do(register("other", input={"pin": "0000-secret"}, secret_input=True))
    with sealed.transaction() as tx:  # as if it had been registered before there was a log
        register("t", input={"pin": "1234-secret"}).command.apply(tx)
    sealed.do(register("t", input={"pin": "1234-secret"}, secret_input=True))
    sealed.do(register("t", input={"pin": "5678-secret"}, secret_input=True))

    assert len(log(sealed)) == 3
    assert "-secret" not in json.dumps(log(sealed), default=str)
    before, after = (side["input"]["digest"] for side in sides(log(sealed)[-1]))
    assert before != after


# -------------------------------------------------------------------------------------------------- append-only
def test_an_entry_cannot_be_changed(world: World) -> None:
    world.do(register())

    with pytest.raises(DBAPIError, match="audit_is_append_only"), world.transaction() as tx:
        tx.connection.execute(update(tables.audit).values(principal="somebody else"))

    assert log(world)[0]["principal"] == "key:ann"


def test_entries_are_removed_at_their_age_and_no_others(world: World) -> None:
    for name in ("old", "older"):
        world.do(register(name))
    world.clock.advance(DAY)
    world.do(register("new"))
    world.clock.advance(MINUTE)

    assert world.do(RemoveEntries(DAY, 1)) == 1
    assert world.do(RemoveEntries(DAY, 10)) == 1
    assert world.do(RemoveEntries(DAY, 10)) == 0

    assert [entry["name"] for entry in log(world)] == ["new"]


# -------------------------------------------------------------------------------------------------------- reading
def test_the_log_is_read_newest_first_in_pages(world: World) -> None:
    for number in range(5):
        world.do(register(f"t{number}"))
        if number != 2:  # two have the same time
            world.clock.advance(timedelta(seconds=1))

    names: list[str] = []
    after = None
    while page := world.read(list_entries, AuditFilter(), after, 2):
        names += [row.name for row in page]
        after = (page[-1].at, page[-1].id)

    assert names == ["t4", "t3", "t2", "t1", "t0"]


def test_the_log_is_filtered(world: World) -> None:
    world.do(register("a-1"))
    world.clock.advance(MINUTE)
    world.do(register("b-1"))
    world.do(pause("b-1"))
    queue = PutQueue(name="q", concurrency=1, paused=False, by="ann")
    world.do(by_ann(queue, Action.QUEUE_SET, Named(Kind.QUEUE, "q")))

    assert [entry["name"] for entry in log(world, task=("b-1",))] == ["b-1", "b-1"]
    assert [entry["name"] for entry in log(world, action=("task.paused", "queue.set"))] == [
        "b-1",
        "q",
    ]
    assert log(world, principal=("nobody",)) == []
    assert [entry["name"] for entry in log(world, ends_at=NOON)] == ["a-1"]
    assert [entry["name"] for entry in log(world, starts_at=NOON + MINUTE)] == ["b-1", "b-1", "q"]
    assert [entry["name"] for entry in log(world, tasks=NameLimit(("a-",)))] == ["a-1"]
    assert log(world, tasks=NameLimit(())) == []


@pytest.mark.parametrize("looked_at", [1, 3, 100])
def test_a_limited_key_sees_its_entries_wherever_they_are_in_the_log(
    world: World, monkeypatch: pytest.MonkeyPatch, looked_at: int
) -> None:
    monkeypatch.setattr("rota.store.audit.reading._LOOKED_AT", looked_at)
    for name in ("a-1", "b-1", "c-1", "a-2", "ab-1", "c-2", "b-2", "c-3", "c-4"):
        world.do(register(name))
        world.clock.advance(MINUTE)

    for prefixes in (("a-",), ("a-", "a"), ("a-", "b-"), ("c-", "a"), ("z",), ("",), ()):
        seen: list[str] = []
        after = None
        wanted = AuditFilter(tasks=NameLimit(prefixes))
        while page := world.read(list_entries, wanted, after, 2):
            seen += [row.name for row in page]
            after = (page[-1].at, page[-1].id)

        all_names = [row.name for row in world.read(list_entries, AuditFilter(), None, 100)]
        assert seen == [name for name in all_names if name.startswith(prefixes)]


@pytest.mark.parametrize("database_engine", ["sqlite"], indirect=True)
def test_for_a_limited_key_the_log_is_not_read_as_a_whole(world: World) -> None:
    executed: list[tuple[str, Any]] = []
    listen(
        world.database._reading,
        "before_cursor_execute",
        lambda *given: executed.append(given[2:4]),
    )
    world.read(list_entries, AuditFilter(tasks=NameLimit(("a-", "b-"))), None, 2)

    with world.database.read() as connection:
        (among, of_ranges) = (
            [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", given)]
            for text, given in executed
            if text.startswith("SELECT audit")
        )

    assert "SCAN audit USING COVERING INDEX ix_audit_at" in among  # up to a LIMIT
    searched = "SEARCH audit USING COVERING INDEX ix_audit_task (task>? AND task<?)"
    assert of_ranges.count(searched) == 2
    assert not [step for step in (*among, *of_ranges) if step == "SCAN audit"]


def test_the_log_outlives_the_task(world: World) -> None:
    world.do(register())
    with world.transaction() as tx:
        tx.connection.execute(delete(tables.task_tag))
        tx.connection.execute(delete(tables.task))

    assert [entry["name"] for entry in log(world, task=("t",))] == ["t"]
