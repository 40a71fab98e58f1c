"""What bounds a key-value table holds, whatever is written at the same time, and the counters match the entries."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import func, select

from rota.db import tables
from rota.domain.kv.entries import KvChange, KvLimits
from rota.domain.kv.operations import Append, Check, Delete, Increment, Operation, Set, SetOnce
from rota.domain.runs.model import ClaimedRun
from rota.domain.runs.outcomes import Succeeded
from rota.domain.runs.status import RunStatus
from rota.errors import Conflict, Invalid
from rota.store.kv.transactions import DeletePrefix, Transact
from rota.store.tasks.registration import Register
from tests.support.costs import check_growth
from tests.support.factories import World, define, delete_entry, finish, set_entry, together

FEW = KvLimits(entries=10)
SMALL = KvLimits(total_bytes=1_000)
SHORT = KvLimits(key_length=5, key_pattern="[a-z]+(:[0-9]+)?")


@pytest.fixture
def replicas(migrated_database_url: str) -> Iterator[list[World]]:
    """Every process that can serve the database: one on SQLite, two on PostgreSQL."""
    worlds = [World(migrated_database_url)]
    if not worlds[0].is_sqlite:
        worlds.append(World(migrated_database_url))
    worlds[0].register(overlap_policy="allow")
    yield worlds
    for world in worlds:
        world.close()


def counted(world: World) -> tuple[int, int]:
    """Return what the task's row says of its table."""
    with world.database.read() as connection:
        row = connection.execute(select(tables.task.c.kv_entries, tables.task.c.kv_bytes)).one()
    return row.kv_entries, row.kv_bytes


def there(world: World) -> tuple[int, int]:
    """Return what the table itself says, Rota's own entries apart."""
    own = func.substr(tables.kv.c.key, 1, 1) == "_"
    sums = select(func.count(), func.coalesce(func.sum(tables.kv.c.size), 0)).where(~own)
    with world.database.read() as connection:
        number, size = connection.execute(sums).one()
    return int(number), int(size)


def one_entry(claimed: ClaimedRun, key: str) -> Succeeded:
    """Return a success that writes one entry."""
    return Succeeded("null", (KvChange(key, b"1"),), claimed.kv_revision)


def all_at_once(calls: list[Callable[[], Any]]) -> list[Exception | None]:
    """Make calls from as many threads; return what each raised."""

    def tried(call: Callable[[], Any]) -> Exception | None:
        try:
            call()
        except Conflict as error:
            return error
        return None

    with ThreadPoolExecutor(16) as threads:
        return list(threads.map(tried, calls))


def test_clients_cannot_make_too_many_entries_together(replicas: list[World]) -> None:
    def write(number: int) -> Callable[[], Any]:
        world = replicas[number % len(replicas)]
        return lambda: world.do(set_entry("t", f"k{number}", limits=FEW))

    refused = all_at_once([write(number) for number in range(40)])

    assert sum(error is None for error in refused) == 10
    assert {getattr(error, "slug", None) for error in refused if error} == {"kv-full"}
    assert counted(replicas[0]) == there(replicas[0]) == (10, 10)


def test_clients_cannot_write_too_many_bytes_together(replicas: list[World]) -> None:
    def write(number: int) -> Callable[[], Any]:
        world = replicas[number % len(replicas)]
        value = b'"%s"' % (b"x" * 98)
        return lambda: world.do(set_entry("t", f"k{number % 20}", value, limits=SMALL))

    all_at_once([write(number) for number in range(40)])

    assert counted(replicas[0]) == there(replicas[0]) == (10, 1_000)


def test_what_grows_is_bounded_as_well(replicas: list[World]) -> None:
    def add(number: int) -> Callable[[], Any]:
        operation = Append("list", b'"%s"' % (b"x" * 98))
        command = Transact(task="t", operations=(operation,), by="me", limits=SMALL)
        return lambda: replicas[number % len(replicas)].do(command)

    refused = all_at_once([add(number) for number in range(20)])

    assert sum(error is None for error in refused) == 9
    assert counted(replicas[0]) == there(replicas[0])
    assert counted(replicas[0])[1] <= 1_000


def test_runs_that_end_together_cannot_make_too_many_entries(replicas: list[World]) -> None:
    world = replicas[0]
    for _ in range(20):
        world.run_now()
    claims = world.claim()
    ends = [
        finish(claimed, one_entry(claimed, f"k{number}"), holder=world.holder, limits=FEW)
        for number, claimed in enumerate(claims)
    ]

    settled = [answer.result() for answer in together(world.writer, ends)]

    statuses = [each.status for each in settled]
    assert statuses.count(RunStatus.SUCCEEDED) == 10
    assert {each.error.type for each in settled if each.error} == {"kv.full"}
    assert counted(world) == there(world) == (10, 10)


def test_runs_and_clients_share_what_there_is(replicas: list[World]) -> None:
    world, other = replicas[0], replicas[-1]
    for _ in range(20):
        world.run_now()
    ends = [
        finish(claimed, one_entry(claimed, f"r{number}"), holder=world.holder, limits=FEW)
        for number, claimed in enumerate(world.claim())
    ]
    calls: list[Callable[[], Any]] = [
        *(lambda end=end: world.do(end) for end in ends),
        *(lambda n=n: other.do(set_entry("t", f"c{n}", limits=FEW)) for n in range(20)),
    ]

    all_at_once(calls)

    assert counted(world) == there(world) == (10, 10)


def test_increments_removals_and_runs_at_once_are_counted_exactly(replicas: list[World]) -> None:
    world, other = replicas[0], replicas[-1]
    for _ in range(10):
        world.run_now()
    runs = [
        finish(
            claimed,
            Succeeded("null", (Increment(f"n{number % 3}", 10**number),), claimed.kv_revision),
            holder=world.holder,
        )
        for number, claimed in enumerate(world.claim())
    ]
    calls: list[Callable[[], Any]] = [
        *(lambda end=end: world.do(end) for end in runs),
        *(lambda n=n: other.do(set_entry("t", f"p:{n}", b"1" * (n + 1))) for n in range(10)),
        *(lambda: other.do(DeletePrefix(task="t", prefix="p:", by="me")) for _ in range(5)),
        *(
            lambda n=n: world.do(
                Transact(task="t", operations=(Increment(f"n{n % 3}", 7),), by="me")
            )
            for n in range(10)
        ),
    ]

    assert set(all_at_once(calls)) == {None}

    assert counted(world) == there(world)
    assert sum(world.entries()[f"n{number}"] for number in range(3)) == 10 * 7 + 1_111_111_111


def test_a_full_table_takes_what_makes_it_smaller(replicas: list[World]) -> None:
    world = replicas[0]
    for number in range(10):
        world.do(set_entry("t", f"k{number}", b'"long"', limits=FEW))
    tight = KvLimits(entries=5, total_bytes=10)

    world.do(set_entry("t", "k0", b"1", limits=tight))
    world.do(delete_entry("t", "k1", limits=tight))

    assert counted(world) == there(world) == (9, 8 * 6 + 1)
    with pytest.raises(Conflict, match="the limit is 5"):
        world.do(set_entry("t", "k1", limits=tight))


@pytest.mark.parametrize(
    ("key", "setting"), [("abcdef", "ROTA_MAX_KEY_LENGTH"), ("A", "ROTA_KV_KEY_PATTERN")]
)
def test_a_run_cannot_write_a_key_that_is_not_to_be_here(
    replicas: list[World], key: str, setting: str
) -> None:
    world = replicas[0]
    claimed = world.start()

    settled = world.end(claimed, one_entry(claimed, key), limits=SHORT)

    assert settled.error is not None
    assert settled.error.type == "kv.key"
    assert setting in settled.error.message
    assert there(world) == (0, 0)


def test_a_run_can_look_at_and_remove_what_is_there_already(replicas: list[World]) -> None:
    world = replicas[0]
    world.set("abcdef", 1)
    claimed = world.start()
    changes = (Check("abcdef", version=1), KvChange("abcdef", None))

    settled = world.end(claimed, Succeeded("null", changes, claimed.kv_revision), limits=SHORT)

    assert settled.status is RunStatus.SUCCEEDED
    assert there(world) == (0, 0)


def test_a_seed_keeps_to_the_limits_of_keys(replicas: list[World]) -> None:
    world = replicas[0]
    seeds = (SetOnce("abcdef", b"1"),)
    command = Register(name="u", definition=define(), seeds=seeds, limits=SHORT)

    with pytest.raises(Invalid, match="ROTA_MAX_KEY_LENGTH"):
        world.do(command)


def test_a_group_of_operations_is_counted_as_what_it_leaves(replicas: list[World]) -> None:
    world = replicas[0]
    operations: list[Operation] = [Set(f"k{n}", b"1") for n in range(10)]
    operations += [Set("k0", b"22"), Delete("k1")]

    world.do(Transact(task="t", operations=tuple(operations), by="me", limits=FEW))

    assert counted(world) == there(world) == (9, 10)


@pytest.mark.parametrize("by", ["a client", "a run"])
def test_many_operations_on_one_long_list_cost_as_much_as_they_and_the_list_are_long(
    world: World, by: str
) -> None:
    """A writer that read and wrote the list for each of them would cost sixteen times as much, and keep all waiting."""
    world.register(overlap_policy="allow")

    def work(text: str) -> None:
        world.set("list", [12345] * 40 * len(text))
        operations = (Append("list", b'"abc"'),) * len(text)
        if by == "a client":
            world.do(Transact(task="t", operations=operations, by="test"))
        else:
            done = Succeeded("null", operations, 0)
            assert world.end(world.start(), done).status is RunStatus.SUCCEEDED
        assert len(world.entries()["list"]) == 41 * len(text)

    check_growth(work, lambda count: "." * count, 250)
