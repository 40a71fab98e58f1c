"""The names that a key is limited to, as conditions: they agree with `NameLimit`, and an index serves them."""

import pytest
from sqlalchemy import select
from sqlalchemy.dialects import sqlite

from rota.db.tables import task
from rota.domain.access.names import UNLIMITED, NameLimit
from rota.store.task_names import covers, of_covered_task
from rota.store.task_rows import TaskFilter, list_tasks
from tests.support.factories import World

NAMES = ("A-1", "a", "a-", "a-1", "a-1-x", "a.1", "a~", "a~~", "b", "b-1", "z", "z~1")
LIMITS = (
    None,
    (),
    ("",),
    ("a-",),
    ("a~",),
    ("a-", "b-"),
    ("b", "a-1", "a-", "b-1"),
    ("z", "z~", "~"),
    ("A-", "missing"),
)


@pytest.mark.parametrize("prefixes", LIMITS, ids=str)
def test_a_statement_finds_the_names_that_a_limit_covers(
    world: World, prefixes: tuple[str, ...] | None
) -> None:
    limit = NameLimit(prefixes)
    for name in NAMES:
        world.register(name)
    wanted = [name for name in NAMES if limit.covers(name)]

    listed = world.read(list_tasks, TaskFilter(limit=limit), "", 99)
    with world.database.read() as connection:
        by_id = select(task.c.name).where(of_covered_task(limit, task.c.id))
        found = sorted(connection.execute(by_id).scalars())

    assert [each.name for each in listed] == wanted
    assert found == wanted


def test_no_limit_leaves_no_trace_in_a_statement() -> None:
    present = task.c.deleted_at.is_(None)
    conditions = (covers(UNLIMITED, task.c.name), of_covered_task(UNLIMITED, task.c.id))

    limited = select(task.c.id).where(present, *conditions)

    assert str(limited) == str(select(task.c.id).where(present))


@pytest.mark.parametrize("prefixes", [("a-",), ("a-", "b-", "b-1")], ids=str)
def test_an_index_serves_the_ranges(world: World, prefixes: tuple[str, ...]) -> None:
    if not world.database.is_sqlite:
        pytest.skip("PostgreSQL reads a table of a few rows as a whole")
    found = select(task.c.id).where(
        task.c.deleted_at.is_(None), covers(NameLimit(prefixes), task.c.name)
    )
    statement = found.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
    with world.database.read() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}").all()

    steps = [row[3] for row in plan if "INDEX" in row[3]]
    assert steps
    assert all("(name>? AND name<?)" in step for step in steps)
