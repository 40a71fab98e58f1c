"""API keys as rows: made, rotated, revoked, used."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from rota.db.tables import api_key
from rota.domain.access.keys import parse_key
from rota.domain.access.scopes import Scope
from rota.domain.access.stored_key import KeyStatus, StoredKey, prove
from rota.errors import Conflict, NotFound
from rota.store.access.changes import CreateKey, MadeKey, NoteUses, RevokeKey, RotateKey
from rota.store.access.reading import all_keys, find_key, has_administrators, list_keys, mark
from tests.support.factories import DAY, HOUR, LONG_AGO, MINUTE, NOON, World

SECOND = timedelta(seconds=1)
READER = CreateKey(
    name="CI of billing",
    scopes=(Scope.TASKS_READ, Scope.RUNS_READ),
    tasks=("billing-",),
    queues=("mail",),
    rate=5,
    expires_at=NOON + DAY,
    by="key:1",
)


def digest_of(made: MadeKey) -> bytes:
    key = parse_key(made.text)
    assert key is not None
    return key.digest


def keys_of(world: World) -> dict[Any, Any]:
    with world.database.read() as connection:
        return dict(all_keys(connection, LONG_AGO))


def row_of(world: World, id: str) -> dict[str, Any]:
    with world.database.read() as connection:
        found = connection.execute(select(api_key).where(api_key.c.id == id)).mappings().one()
        return dict(found)


def test_a_key_is_stored_with_what_it_may_do_and_a_digest(world: World) -> None:
    made = world.do(READER)

    key = made.stored
    assert (key.name, key.tasks, key.queues, key.rate) == (
        "CI of billing",
        ("billing-",),
        ("mail",),
        5,
    )
    assert key.scopes == {Scope.TASKS_READ, Scope.RUNS_READ}
    assert (key.created_at, key.created_by, key.expires_at) == (NOON, "key:1", NOON + DAY)
    assert key.digest == digest_of(made)
    assert keys_of(world) == {key.id: key}
    assert made.text.startswith(f"rota_{key.id}_")
    assert made.text not in repr(made)


def test_the_client_of_a_key_is_what_its_row_says(world: World) -> None:
    principal = world.do(READER).stored.principal

    assert principal.label == principal.idempotency_scope == f"key:{principal.key_id}"
    assert principal.may(Scope.TASKS_READ)
    assert not principal.may(Scope.TASKS_WRITE)
    assert principal.tasks.covers("billing-sync")
    assert not principal.tasks.covers("crm-sync")
    assert principal.queues.covers("mail")
    assert not principal.queues.covers("default")


def test_keys_are_listed_in_the_order_in_which_they_were_made(world: World) -> None:
    made = []
    for _ in range(3):
        made.append(world.do(READER).stored)
        world.clock.advance(SECOND)

    with world.database.read() as connection:
        assert list_keys(connection, None, 2) == made[:2]
        assert list_keys(connection, (made[1].created_at, made[1].id), 2) == made[2:]


def test_keys_that_were_made_at_once_are_all_listed(world: World) -> None:
    made = sorted((world.do(READER).stored for _ in range(3)), key=lambda key: key.id)

    with world.database.read() as connection:
        assert list_keys(connection, (made[0].created_at, made[0].id), 5) == made[1:]


def test_a_revoked_key_keeps_its_row(world: World) -> None:
    id = world.do(READER).stored.id
    world.clock.advance(SECOND)

    revoked = world.do(RevokeKey(id=id, by="cli"))

    assert (revoked.revoked_at, revoked.revoked_by) == (NOON + SECOND, "cli")
    assert revoked.status(NOON) is KeyStatus.REVOKED
    world.clock.advance(SECOND)
    assert world.do(RevokeKey(id=id, by="key:2")) == revoked


def test_keys_that_were_revoked_long_ago_are_not_kept_in_memory(world: World) -> None:
    id = world.do(READER).stored.id
    world.do(RevokeKey(id=id, by="cli"))

    with world.database.read() as connection:
        assert list(all_keys(connection, NOON)) == [id]
        assert not all_keys(connection, NOON + SECOND)


def test_a_rotated_key_keeps_its_id_and_its_secret_for_the_overlap(world: World) -> None:
    first = world.do(READER)

    second = world.do(RotateKey(id=first.stored.id, overlap=HOUR))

    key = second.stored
    assert key.id == first.stored.id
    assert (key.rotated_at, key.previous_until) == (NOON, NOON + HOUR)
    old, new = prove(key, digest_of(first)), prove(key, digest_of(second))
    assert old is not None
    assert new is not None
    assert old.fault(NOON + HOUR - SECOND) is None
    assert "rotated" in str(old.fault(NOON + HOUR))
    assert new.fault(NOON + HOUR) is None


def test_without_an_overlap_the_secret_before_is_not_known_any_more(world: World) -> None:
    first = world.do(READER)

    key = world.do(RotateKey(id=first.stored.id, overlap=timedelta())).stored

    assert prove(key, digest_of(first)) is None
    assert row_of(world, key.id)["previous_digest"] is None


def meanwhile(monkeypatch: pytest.MonkeyPatch, present: StoredKey) -> None:
    """Let the next command read a key as it was before another replica has changed it."""
    earlier = [present]

    def find(connection: Any, id: str) -> StoredKey:
        return earlier.pop() if earlier else find_key(connection, id)

    monkeypatch.setattr("rota.store.access.changes.find_key", find)


def test_of_two_rotations_at_once_the_second_replaces_the_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotate = RotateKey(id=world.do(READER).stored.id, overlap=HOUR)
    before = world.read(find_key, rotate.id)
    first = world.do(rotate)

    meanwhile(monkeypatch, before)
    second = world.do(rotate)

    assert second.stored.digest == digest_of(second)
    assert second.stored.previous_digest == digest_of(first)


def test_a_key_that_is_revoked_meanwhile_is_not_rotated(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = world.do(READER).stored
    world.do(RevokeKey(id=before.id, by="cli"))

    meanwhile(monkeypatch, before)
    with pytest.raises(Conflict, match="is revoked"):
        world.do(RotateKey(id=before.id, overlap=HOUR))

    assert world.read(find_key, before.id).digest == before.digest


def test_only_a_key_that_is_accepted_is_rotated(world: World) -> None:
    revoked, expired = world.do(READER).stored, world.do(READER).stored
    world.do(RevokeKey(id=revoked.id, by="cli"))
    world.clock.advance(DAY)

    for key, status in ((revoked, "revoked"), (expired, "expired")):
        with pytest.raises(Conflict, match=f"is {status}"):
            world.do(RotateKey(id=key.id, overlap=HOUR))


@pytest.mark.parametrize(
    "command", [RotateKey(id="a" * 12, overlap=HOUR), RevokeKey(id="a" * 12, by="cli")]
)
def test_a_key_that_does_not_exist_is_not_found(world: World, command: Any) -> None:
    with pytest.raises(NotFound):
        world.do(command)


def test_every_change_raises_the_mark_and_the_use_does_not(world: World) -> None:
    def now() -> int:
        with world.database.read() as connection:
            return mark(connection)

    marks = [now()]
    id = world.do(READER).stored.id
    marks.append(now())
    world.do(RotateKey(id=id, overlap=HOUR))
    marks.append(now())
    world.do(NoteUses({id: NOON}))
    assert now() == marks[-1]
    world.do(RevokeKey(id=id, by="cli"))
    marks.append(now())
    assert marks == sorted(set(marks))


def test_the_use_of_a_key_is_stored_at_most_once_a_minute(world: World) -> None:
    id = world.do(READER).stored.id

    noted = [
        world.do(NoteUses({id: NOON + after}))
        for after in (SECOND, 2 * SECOND, MINUTE, MINUTE + SECOND)
    ]

    assert noted == [1, 0, 0, 1]
    assert row_of(world, id)["last_used_at"] == NOON + MINUTE + SECOND


def test_administrators_are_keys_with_that_scope_that_are_accepted(world: World) -> None:
    def there() -> bool:
        with world.database.read() as connection:
            return has_administrators(connection, world.clock.now())

    world.do(READER)
    assert not there()
    first = world.do(replace(READER, scopes=(Scope.ADMIN,), tasks=None, queues=None))
    assert there()
    world.do(RevokeKey(id=first.stored.id, by="cli"))
    assert not there()
    world.do(replace(READER, scopes=(Scope.ADMIN,), tasks=None, queues=None))
    assert there()
    world.clock.advance(DAY)
    assert not there()


@pytest.mark.parametrize("damaged", ["", "{}", "[1]", "nonsense", '["no:such:scope", ""]'])
def test_what_cannot_be_read_permits_nothing(world: World, damaged: str) -> None:
    id = world.do(READER).stored.id
    with world.database.writing.begin() as connection:
        connection.execute(update(api_key).values(scopes=damaged, tasks=damaged, queues=damaged))

    with world.database.read() as connection:
        principal = find_key(connection, id).principal
    assert not principal.scopes
    for limit in (principal.tasks, principal.queues):
        assert not limit.covers("billing-sync")


@pytest.mark.parametrize(
    ("wrong", "constraint"),
    [
        ({"version": 0}, "ck_api_key_version"),
        ({"rate": 0}, "ck_api_key_rate"),
        ({"max_tasks": 0}, "ck_api_key_max_tasks"),
        ({"max_unfinished_runs": 0}, "ck_api_key_max_unfinished_runs"),
        ({"max_kv_bytes": 0}, "ck_api_key_max_kv_bytes"),
        ({"previous_digest": b"x"}, "ck_api_key_previous_ends"),
        ({"revoked_at": NOON}, "ck_api_key_revoked_by"),
    ],
)
def test_the_database_refuses_impossible_keys(
    world: World, wrong: dict[str, Any], constraint: str
) -> None:
    row = row_of(world, world.do(READER).stored.id) | {"id": "b" * 12} | wrong

    with (
        pytest.raises(IntegrityError, match=constraint),
        world.database.writing.begin() as connection,
    ):
        connection.execute(insert(api_key), row)
