"""Values are read from columns as they were written, on both databases."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select
from sqlalchemy.exc import StatementError

from rota.db import tables
from rota.domain.primitives.json import json_text
from tests.support.factories import NOON, World

ZONES = st.sampled_from(
    [UTC, timezone(timedelta(hours=5, minutes=45)), timezone(-timedelta(hours=3))]
)
INSTANTS = st.datetimes(datetime(1970, 1, 2), datetime(8999, 12, 31), timezones=ZONES).map(  # noqa: DTZ001  # given a zone
    lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000)
)
TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
few = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@given(at=INSTANTS)
@few
def test_a_time_is_read_in_utc(world: World, at: datetime) -> None:
    back = _store(world, [at])[0]

    assert back == at
    assert back.tzinfo is UTC


@given(times=st.lists(INSTANTS, min_size=2, max_size=6, unique=True))
@few
def test_times_sort_chronologically_in_the_database(world: World, times: list[datetime]) -> None:
    assert _store(world, times) == sorted(times)


def _store(world: World, times: list[datetime]) -> list[datetime]:
    table = tables.handler
    with world.transaction() as tx:
        tx.connection.execute(delete(table))
        tx.connection.execute(
            insert(table),
            [
                {"name": f"n{number}", "description": "", "isolation": "none", "updated_at": at}
                for number, at in enumerate(times)
            ],
        )
        return list(
            tx.connection.execute(
                select(table.c.updated_at)
                .where(table.c.updated_at >= min(times))
                .order_by(table.c.updated_at)
            ).scalars()
        )


def test_a_time_without_a_zone_is_refused(world: World) -> None:
    with pytest.raises(StatementError, match="no time zone"), world.transaction() as tx:
        tx.connection.execute(
            insert(tables.handler),
            {
                "name": "x",
                "description": "",
                "isolation": "",
                "updated_at": NOON.replace(tzinfo=None),
            },
        )


@pytest.fixture
def tabled(world: World) -> World:
    world.register(schedule={"type": "manual"})
    return world


@given(value=JSON)
@few
def test_a_value_is_read_with_its_exact_type(tabled: World, value: object) -> None:
    tabled.set("k", value)

    assert repr(tabled.entries()["k"]) == repr(value)


@given(value=JSON)
@few
def test_an_input_is_read_with_its_exact_type(tabled: World, value: object) -> None:
    run = tabled.run_now(input=json_text.dumps(value))
    tabled.succeed(tabled.claim()[0], json_text.dumps(value))

    kept = tabled.run(run.id)
    assert kept.result is not None
    assert repr(json_text.loads(kept.input)) == repr(json_text.loads(kept.result)) == repr(value)
