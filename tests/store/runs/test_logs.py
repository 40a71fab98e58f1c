"""Output of running attempts, stored while they run."""

import pytest

from rota.db import tables
from rota.domain.primitives.ids import random_id
from rota.domain.runs.model import ClaimedRun, LogLine, Progress
from rota.store.runs.logs import SaveOutput, list_lines
from tests.support.factories import NOON, World


@pytest.fixture
def running(world: World) -> ClaimedRun:
    world.register()
    return world.start()


def _line(number: int, message: str = "hello") -> LogLine:
    return LogLine(number, NOON, "info", message)


def _note(world: World, running: ClaimedRun, *numbers: int, **fields: object) -> bool:
    facts: dict[str, object] = {
        "run_id": running.id,
        "attempt": running.attempt,
        "holder": world.holder,
        "lines": tuple(map(_line, numbers)),
        "progress": None,
    }
    return world.do(SaveOutput(**facts | fields))  # type: ignore[arg-type]


def test_lines_can_be_read_while_the_run_is_running(world: World, running: ClaimedRun) -> None:
    assert _note(world, running, 1, 2)
    assert _note(world, running, 3)

    lines = world.read(list_lines, running.id, (0, 0), 9)

    assert lines == [(1, _line(1)), (1, _line(2)), (1, _line(3))]


def test_lines_are_read_page_by_page(world: World, running: ClaimedRun) -> None:
    _note(world, running, *range(1, 6))

    first = world.read(list_lines, running.id, (0, 0), 2)
    rest = world.read(list_lines, running.id, (1, 2), 9)

    assert [line.line for _, line in first + rest] == [1, 2, 3, 4, 5]


def test_progress_can_be_read_while_the_run_is_running(world: World, running: ClaimedRun) -> None:
    _note(world, running, progress=Progress(0.5, "half"))
    _note(world, running, 1)

    assert world.run(running.id).progress == Progress(0.5, "half")


@pytest.mark.parametrize("wrong", ["holder", "attempt", "run_id"])
def test_output_of_an_attempt_that_lost_its_run_is_not_stored(
    world: World, running: ClaimedRun, wrong: str
) -> None:
    other = 2 if wrong == "attempt" else random_id()

    assert not _note(world, running, 1, progress=Progress(1, None), **{wrong: other})

    assert world.count(tables.run_log) == 0
    assert world.run(running.id).progress is None


def test_output_of_an_ended_attempt_is_not_stored(world: World, running: ClaimedRun) -> None:
    world.succeed(running)

    assert not _note(world, running, 1)
