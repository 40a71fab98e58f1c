"""What an attempt asks for with its success, from handlers of every kind."""

from datetime import UTC, datetime

import pytest

from rota import AttemptDraft
from rota.domain.primitives.json import json_text
from rota.domain.runs.outcomes import Failed, Succeeded
from rota.domain.tasks.definition import OnConflict
from rota.domain.tasks.registration import MOST_BYTES, MOST_REGISTRATIONS, read_registration
from tests.handlers.bench import Bench

EVERY_KIND = ["registers", "registers-sync", "registers-process", "registers-process-async"]
HOURLY = {"type": "interval", "every": "1h"}


def register(bench: Bench, kind: str, **fields: object) -> object:
    given = {"name": "follow-up", "handler": "echo", "schedule": HOURLY} | fields
    return bench.run(kind, json_text.dumps(given))


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_registrations_and_the_next_fire_time_are_in_the_outcome(bench: Bench, kind: str) -> None:
    input = {"sizes": [1, 5.0, "ü", None]}
    outcome = register(bench, kind, input=input, retry={"max_attempts": 7}, on_conflict="keep")

    assert isinstance(outcome, Succeeded), outcome
    # Rounded up to the milliseconds of the wire format: never early.
    assert outcome.next_fire == datetime(2126, 5, 1, 12, 0, 0, 1000, tzinfo=UTC)
    (made,) = outcome.registrations
    assert (made.name, made.on_conflict, made.paused) == ("follow-up", OnConflict.KEEP, False)
    assert json_text.dumps(made.definition.input) == json_text.dumps(input)
    assert made.definition.retry.max_attempts == 7
    assert "timeout" not in made.definition.model_fields_set


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_wrong_registration_raises_where_it_is_made(bench: Bench, kind: str) -> None:
    outcome = register(bench, kind, schedule={"type": "interval", "every": "soon"})

    assert isinstance(outcome, Failed)
    assert outcome.error.type == "ValueError"
    assert outcome.error.message.startswith("/schedule/every: 'soon' is not a duration")


def test_the_number_of_registrations_is_bounded(bench: Bench) -> None:
    assert isinstance(bench.run("registers-many", str(MOST_REGISTRATIONS)), Succeeded)

    outcome = bench.run("registers-many", str(MOST_REGISTRATIONS + 1))

    assert isinstance(outcome, Failed)
    assert outcome.error.message == "a run registers at most 100 tasks"


def test_a_hundred_registrations_pass_through_the_protocol(bench: Bench) -> None:
    outcome = bench.run("registers-many-process", str(MOST_REGISTRATIONS))

    assert isinstance(outcome, Succeeded), outcome
    assert len(outcome.registrations) == MOST_REGISTRATIONS


def test_a_registration_that_was_refused_leaves_room_for_others() -> None:
    draft = AttemptDraft(1_024)
    given = {"name": "follow-up", "handler": "echo", "schedule": HOURLY}

    with pytest.raises(ValueError, match=f"at most {MOST_BYTES} bytes in all"):
        draft.register(read_registration({**given, "input": "x" * MOST_BYTES}))
    draft.register(read_registration(given))

    assert [made.name for made in draft.registrations] == ["follow-up"]
