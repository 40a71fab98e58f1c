"""Named secrets in the database: sealed with what they are bound to, opened for the runs that refer to them."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, insert, select, update

from rota.db import tables
from rota.db.encryption import Keyring
from rota.domain.access.names import NameLimit
from rota.domain.secrets.opened import OpenedSecret
from rota.domain.tasks.registration import TaskRegistration
from rota.engine.key_rotation import KeyRotation
from rota.errors import Conflict, Invalid, NotFound, Sealed
from rota.store.completion.registrations import to_register
from rota.store.handlers import Announce, HandlerInfo
from rota.store.sealing.named_secrets import Values
from rota.store.sealing.sealed_values import check_keys, keys_in_use
from rota.store.sealing.secret_rotation import ForgetPrevious
from rota.store.secrets import changes, reading
from rota.store.secrets.changes import PutSecret, RotateSecret
from rota.store.secrets.reading import find_secret, list_secrets
from rota.store.secrets.usage import Usage, tasks_with
from tests.support.factories import HOUR, MINUTE, World, define

ORIGIN = "https://api.example.com"
OLD, NEW = bytes(range(32)), bytes(range(32, 64))
VALUE, NEXT = "hunter2-and-more", "hunter3-and-more"
HTTP = ("http",)
NOTIFIERS = ("notify.slack", "notify.webhook")
INFOS = tuple(
    HandlerInfo(name=name, description="", input_schema=None, timeout=None, isolation="async")
    for name in (*HTTP, *NOTIFIERS)
)


@pytest.fixture
def world(migrated_database_url: str) -> Iterator[World]:
    made = World(migrated_database_url, keyring=Keyring({"k1": OLD}))
    made.do(Announce(INFOS))
    yield made
    made.close()


def put(world: World, name: str = "crm", **fields: Any) -> None:
    declared = {
        "value": VALUE,
        "origins": (ORIGIN,),
        "tasks": ("*",),
        "description": None,
        "by": "me",
    }
    world.do(PutSecret(name=name, **declared | fields))


def rotate(world: World, value: str = NEXT, overlap: timedelta = HOUR) -> None:
    world.do(RotateSecret(name="crm", value=value, overlap=overlap, by="me"))


def call(world: World, header: str = "Bearer {{ secret.crm }}", name: str = "t") -> None:
    world.register(
        name,
        handler="http",
        target={"url": f"{ORIGIN}/jobs", "headers": {"Authorization": header}},
        overlap_policy="allow",
    )


def secrets_of_a_run(world: World) -> tuple[OpenedSecret, ...]:
    world.enlist(*HTTP)
    world.run_now()
    [claimed] = world.claim(handlers=HTTP)
    return claimed.secrets


def values(world: World) -> list[tuple[str, str | None]]:
    return [(each.value, each.previous) for each in secrets_of_a_run(world)]


@contextmanager
def statements(world: World) -> Iterator[list[str]]:
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(world.database.writing, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(world.database.writing, "before_cursor_execute", note)


def test_a_run_gets_the_secrets_that_its_target_refers_to_and_no_others(world: World) -> None:
    put(world)
    put(world, "other")
    call(world)

    [found] = secrets_of_a_run(world)

    assert found == OpenedSecret("crm", VALUE, origins=(ORIGIN,))
    assert VALUE not in repr(found)


def notify(world: World, handler: str = "notify.slack", **fields: Any) -> None:
    world.register("t", handler=handler, overlap_policy="allow", **fields)


@pytest.mark.parametrize("secret_input", [False, True])
def test_a_run_of_a_notifier_gets_the_secrets_that_its_input_refers_to(
    world: World, secret_input: bool
) -> None:
    put(world)
    put(world, "signing")
    put(world, "other")
    given = {"url_secret": "crm", "signature": {"secret": "signing"}}
    notify(world, "notify.webhook", input=given, secret_input=secret_input)
    world.enlist(*NOTIFIERS)
    world.run_now()

    [claimed] = world.claim(handlers=NOTIFIERS)

    assert [each.name for each in claimed.secrets] == ["crm", "signing"]


def test_a_notifier_cannot_refer_to_a_secret_that_it_may_not_send(world: World) -> None:
    put(world, "others", tasks=("billing-*",))
    put(world, "signing")
    signed = {"url": "https://evil.example/x", "signature": {"secret": "signing"}}

    for handler, given, pointer in (
        ("notify.slack", {"url_secret": "gone"}, "/input/url_secret"),
        ("notify.slack", {"url_secret": "others"}, "/input/url_secret"),
        ("notify.webhook", signed, "/input/signature/secret"),
    ):
        with pytest.raises(Invalid) as refused:
            notify(world, handler, input=given)
        assert refused.value.slug == "unusable-secret"
        assert [fault.pointer for fault in refused.value.faults] == [pointer]


def test_a_secret_of_a_notifier_is_in_use(world: World) -> None:
    put(world)
    notify(world, input={"url_secret": "crm"})

    assert world.read(tasks_with, "crm") == Usage(("t",), 1)
    assert world.read(tasks_with, "crm2").count == 0


def test_the_value_before_is_valid_up_to_the_end_of_the_overlap_and_then_forgotten(
    world: World,
) -> None:
    put(world)
    call(world)
    rotate(world)

    world.clock.advance(HOUR - MINUTE)
    before = values(world)
    kept = world.do(ForgetPrevious(10))
    world.clock.advance(MINUTE)
    after = values(world)
    forgotten = world.do(ForgetPrevious(10))

    assert before == [(NEXT, VALUE)]
    assert after == [(NEXT, None)]
    assert (kept, forgotten, world.do(ForgetPrevious(10))) == (0, 1, 0)
    assert world.count(tables.secret, tables.secret.c.previous_until.is_not(None)) == 0


@pytest.mark.parametrize(
    "wider",
    [{"origins": (ORIGIN, "https://evil.example")}, {"tasks": ("*",)}],
    ids=lambda wider: next(iter(wider)),
)
def test_who_rotated_a_value_in_cannot_have_the_one_before_sent_elsewhere(
    world: World, wider: dict[str, Any]
) -> None:
    put(world, tasks=("t",))
    call(world)
    rotate(world)

    put(world, **{"value": NEXT, "tasks": ("t",)} | wider)

    assert values(world) == [(NEXT, None)]
    assert world.count(tables.secret, tables.secret.c.previous_until.is_not(None)) == 0


def test_an_overlap_continues_if_the_present_value_is_declared_for_no_more_than_before(
    world: World,
) -> None:
    put(world)
    call(world)
    rotate(world)

    put(world, value=NEXT, tasks=("t",), description="narrower")

    assert values(world) == [(NEXT, VALUE)]


def test_a_longer_overlap_written_into_the_row_is_not_one(world: World) -> None:
    put(world)
    call(world)
    rotate(world)
    later = {"previous_until": world.now + 100 * HOUR}
    with world.transaction() as tx:
        tx.connection.execute(update(tables.secret).values(**later))
    world.clock.advance(HOUR)

    assert values(world) == [(NEXT, None)]


@pytest.mark.parametrize(
    "changed",
    [
        {"origins": '["https://evil.example"]'},
        {"tasks": '["t"]'},
        {"version": 7},
        {"name": "crm", "sealed": b"\0rota-v2\0" + bytes(60)},
        {"sealed": b""},
    ],
    ids=",".join,
)
def test_a_row_that_was_changed_outside_rota_does_not_open(
    world: World, changed: dict[str, Any]
) -> None:
    put(world)
    call(world)
    with world.transaction() as tx:
        tx.connection.execute(update(tables.secret).values(**changed))

    [found] = secrets_of_a_run(world)

    assert (found.value, found.previous) == ("", None)
    assert "was changed outside Rota" in str(found.fault)


@pytest.mark.parametrize("column", ["origins", "tasks"])
@pytest.mark.parametrize("text", ["garbage", "", "7", "null", "[1, {}]", '{"a": 1}', "[" * 9_999])
def test_a_row_whose_bounds_cannot_be_read_stops_neither_other_runs_nor_its_own_repair(
    world: World, column: str, text: str
) -> None:
    put(world)
    call(world)
    put(world, "other")
    call(world, "Bearer {{ secret.other }}", "u")
    world.enlist(*HTTP)
    with world.transaction() as tx:
        of_crm = update(tables.secret).where(tables.secret.c.name == "crm")
        tx.connection.execute(of_crm.values(**{column: text}))
    world.run_now("t")
    world.run_now("u")

    found = {run.task: run.secrets[0] for run in world.claim(handlers=HTTP)}

    assert "was changed outside Rota" in str(found["t"].fault)
    assert (found["u"].value, found["u"].fault) == (VALUE, None)
    assert getattr(world.read(find_secret, "crm"), column) == ()
    assert {each.name for each in world.read(list_secrets, "", 9)} == {"crm", "other"}
    with pytest.raises(Invalid, match=r"may be sent to no server|is for no task"):
        call(world)
    put(world)
    assert values(world)[-1] == (VALUE, None)


def test_a_row_that_was_copied_under_another_name_does_not_open(world: World) -> None:
    put(world, "other", origins=(ORIGIN,))
    with world.transaction() as tx:
        row = dict(tx.connection.execute(select(tables.secret)).mappings().one())
        tx.connection.execute(insert(tables.secret).values(row | {"name": "crm"}))
    call(world)

    [found] = secrets_of_a_run(world)

    assert found.fault


def test_what_refers_to_no_secret_reads_none(world: World) -> None:
    put(world)
    world.enlist(*HTTP)
    with statements(world) as seen:
        call(world, "Bearer none")
        world.register("plain")
        world.run_now()
        world.run_now("plain")
        assert len(world.claim(handlers=HTTP)) == 1
        assert len(world.claim()) == 1
    assert [each for each in seen if "FROM secret" in each] == []


def test_a_commit_reads_its_secrets_once_and_a_claim_of_many_runs_too(world: World) -> None:
    put(world)
    world.enlist(*HTTP)
    call(world)
    for _ in range(5):
        world.run_now()
    with statements(world) as seen:
        claimed = world.claim(handlers=HTTP)
    assert [len(each.secrets) for each in claimed] == [1] * 5
    assert len([each for each in seen if "FROM secret" in each]) == 1


def test_a_run_cannot_register_a_task_that_sends_a_secret_elsewhere(world: World) -> None:
    put(world, tasks=("mine-*",))
    world.enlist(*HTTP)
    target = {"url": f"{ORIGIN}/x", "headers": {"X-Key": "{{ secret.crm }}"}}
    with world.transaction() as tx:
        definition = define(handler="http", target=target)
        made = TaskRegistration(name="theirs", definition=definition)
        command = to_register(tx.connection, made, "run:1")

    with pytest.raises(Invalid, match="is for tasks called mine-") as refused:
        world.do(command)
    assert refused.value.faults[0].pointer == "/target/headers/X-Key"


def test_the_rotation_of_keys_seals_secrets_with_the_first_one(
    world: World, migrated_database_url: str
) -> None:
    put(world)
    call(world)
    world.close()
    both = World(migrated_database_url, keyring=Keyring({"k2": NEW, "k1": OLD}))
    resealed = KeyRotation(both.database, both.do).go_round()
    again = KeyRotation(both.database, both.do).go_round()
    in_use = both.read(keys_in_use)
    both.close()

    new = World(migrated_database_url, keyring=Keyring({"k2": NEW}))
    assert values(new) == [(VALUE, None)]
    new.close()
    assert (resealed, again, in_use) == (1, 0, ["k2"])


@pytest.mark.parametrize(
    ("keys", "message"),
    [({"k2": NEW}, "'k1'"), ({"k1": NEW}, "opens none of the named secrets"), ({}, "'k1'")],
    ids=["missing", "another", "none"],
)
def test_the_service_does_not_start_with_a_key_that_opens_no_secret(
    world: World, migrated_database_url: str, keys: dict[str, bytes], message: str
) -> None:
    put(world)
    world.close()
    other = World(migrated_database_url, keyring=Keyring(keys) if keys else None)
    with pytest.raises(Sealed, match=message):
        other.read(check_keys)
    other.close()


def test_a_concurrent_change_of_a_secret_wins(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(world)
    find = changes._find

    def changed_meanwhile(tx: Any, name: str) -> Any:
        row = find(tx, name)
        return row and {**row, "version": row["version"] - 1}

    monkeypatch.setattr(changes, "_find", changed_meanwhile)
    monkeypatch.setattr(changes, "open_values", lambda *_: Values(VALUE))
    with pytest.raises(Conflict, match="changed concurrently"):
        rotate(world)
    with pytest.raises(Conflict, match="changed concurrently"):
        world.do(changes.RemoveSecret(name="crm"))


def test_of_two_replicas_that_create_a_secret_one_does_and_the_other_changes_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    find, looks = changes._find, []

    def not_yet_there(tx: Any, name: str) -> Any:
        looks.append(name)
        return None if len(looks) == 1 else find(tx, name)

    put(world)
    monkeypatch.setattr(changes, "_find", not_yet_there)
    secret, created = world.do(
        PutSecret(
            name="crm", value=NEXT, origins=(ORIGIN,), tasks=("*",), description=None, by="me"
        )
    )

    assert (created, secret.version) == (False, 2)


def test_secrets_of_a_limit_are_listed_page_by_page_past_those_of_others(world: World) -> None:
    limit = NameLimit(("a-",))
    tasks = {"a": ("a-*",), "b": ("*",), "c": ("b-*", "a-*"), "d": ("a-1", "a-2*"), "e": ("a",)}
    for name, patterns in tasks.items():
        put(world, name, tasks=patterns)
    put(world, "f", tasks=("a-x",))

    def listed(after: str, number: int) -> list[str]:
        return [each.name for each in world.read(list_secrets, after, number, limit)]

    assert listed("", 9) == ["a", "d", "f"]
    assert [listed("", 1), listed("a", 1), listed("d", 1)] == [["a"], ["d"], ["f"]]
    assert [listed("", 2), listed("f", 2)] == [["a", "d"], []]


def test_a_secret_of_the_environment_is_limited_in_place_of_a_stored_one_of_its_name(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(world, tasks=("a-*",))
    given = {"crm": OpenedSecret("crm", VALUE, origins=(ORIGIN,), tasks=("b-*",))}
    for module in (reading, changes):
        monkeypatch.setattr(module, "environment_secrets", lambda _: given)
    ours, theirs = NameLimit(("a-",)), NameLimit(("b-",))

    assert world.read(list_secrets, "", 9, ours) == []
    assert [each.source for each in world.read(list_secrets, "", 9, theirs)] == ["environment"]
    with pytest.raises(NotFound):
        world.read(find_secret, "crm", ours)
    for limit in (ours, theirs):  # one removes what is stored, which is for the tasks of the other
        with pytest.raises(NotFound):
            world.do(changes.RemoveSecret(name="crm", limit=limit))
    world.do(changes.RemoveSecret(name="crm", limit=NameLimit(("a-", "b-"))))
    with pytest.raises(Conflict, match="comes from the environment"):
        world.do(changes.RemoveSecret(name="crm", limit=theirs))
