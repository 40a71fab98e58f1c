from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise
from uuid import RFC_4122, UUID

from hypothesis import given
from hypothesis import strategies as st

from rota.domain.primitives.ids import Id, IdFactory, from_hex, new_id, random_id, to_id
from tests.support.factories import HOUR, NOON


def test_an_id_is_a_version_7_uuid_of_its_time() -> None:
    id = UUID(new_id(NOON + HOUR * 10_000))

    assert (id.version, id.variant) == (7, RFC_4122)
    assert id.int >> 80 == int((NOON + HOUR * 10_000).timestamp() * 1000)


@given(st.lists(st.integers(-5_000, 5_000), min_size=2, max_size=50))
def test_ids_rise_whatever_the_clock_does(offsets: list[int]) -> None:
    make = IdFactory()

    ids = [make(NOON + timedelta(milliseconds=offset)) for offset in offsets]

    assert all(earlier < later for earlier, later in pairwise(ids))
    assert {UUID(id).version for id in ids} == {7}


def test_ids_that_are_made_at_once_are_all_different() -> None:
    make = IdFactory()

    with ThreadPoolExecutor(4) as threads:
        ids = list(threads.map(lambda _: make(NOON), range(2_000)))

    assert len(set(ids)) == 2_000


def test_a_millisecond_that_is_full_borrows_from_the_next() -> None:
    make = IdFactory()
    first = make(NOON)
    make._counter = (1 << 42) - 1

    second = make(NOON)

    assert second > first
    assert UUID(second).int >> 80 == (UUID(first).int >> 80) + 1
    assert make(NOON) > second


def test_factories_do_not_repeat_each_other() -> None:
    ids: set[Id] = {IdFactory()(NOON) for _ in range(100)}

    assert len(ids) == 100


@given(st.uuids())
def test_an_id_is_a_uuid_as_it_is_written(uuid: UUID) -> None:
    assert str(uuid) == from_hex(uuid.hex) == to_id(uuid.hex.upper()) == to_id(f"{{{uuid}}}")


def test_an_id_at_random_is_a_version_4_uuid() -> None:
    assert UUID(random_id()).version == 4
