"""The latest failures, as they are read to be grouped."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from rota.domain.primitives.json import json_text
from rota.domain.runs.errors import RunError
from rota.store.json_columns import dump_error, load_message
from rota.store.runs.listing.failures import latest_failures
from rota.store.runs.listing.filters import RunFilter
from tests.support.factories import BROKEN, MINUTE, NOON, World

ONCE = {"max_attempts": 1}


def fail(world: World, times: int) -> None:
    world.register("broken", schedule={"type": "manual"}, retry=ONCE)
    world.register("fine", schedule={"type": "manual"})
    for _ in range(times):
        world.end(world.start("broken"), BROKEN)
        world.succeed(world.start("fine"))
        world.clock.advance(MINUTE)


def test_the_latest_failures_come_first_and_only_up_to_a_number(world: World) -> None:
    fail(world, 4)

    some = world.read(latest_failures, RunFilter(), 3)
    everything = world.read(latest_failures, RunFilter(finished_from=NOON), 4)

    ended = [NOON + minutes * MINUTE for minutes in (3, 2, 1, 0)]
    assert [each.finished_at for each in some.found] == ended[:3]
    assert not some.is_complete
    assert [each.finished_at for each in everything.found] == ended
    assert everything.is_complete
    assert {(each.task, each.type, each.message) for each in some.found} == {
        ("broken", "ValueError", "broken")
    }


@pytest.mark.parametrize("database_engine", ["sqlite"], indirect=True)
def test_an_index_finds_the_latest_failures_in_their_order(world: World) -> None:
    fail(world, 1)
    executed: list[tuple[str, Any]] = []
    engine = world.database._reading
    event.listen(engine, "before_cursor_execute", lambda *given: executed.append(given[2:4]))
    found = world.read(latest_failures, RunFilter(finished_from=NOON - timedelta(days=30)))
    text, given = executed[-1]

    with world.database.read() as connection:
        plan = [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", given)]

    assert len(found.found) == 1
    assert "SEARCH run USING INDEX ix_run_failure (finished_at>?)" in plan
    assert not [step for step in plan if "TEMP B-TREE" in step]


@pytest.mark.parametrize(
    "message", ["plain", 'a \\ and a "quote"', "two\nlines\t", "\x7f\u2028 ü 😀", ""]
)
def test_the_message_of_an_error_is_read_from_the_beginning_of_its_text(message: str) -> None:
    text = dump_error(RunError("ValueError", message))
    assert text is not None

    assert load_message(text) == json_text.loads(text)["message"]
    assert load_message(text[:-40]) == message[: len(load_message(text[:-40]))]


@pytest.mark.parametrize("head", [None, "", "{}", '{"type":"a","message":"line\nbreak', "[1]"])
def test_what_was_changed_by_hand_and_cannot_be_read_has_no_message(head: str | None) -> None:
    assert load_message(head) == ""
