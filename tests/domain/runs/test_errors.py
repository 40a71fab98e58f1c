"""Errors of attempts as they are stored."""

import pytest

from rota.domain.http_target.phases import CallPhase
from rota.domain.runs.errors import ErrorResponse, RunError
from rota.store.json_columns import dump_error, load_error

OLD = (
    '{"type":"http.status","message":"503 from a","traceback":null,'
    '"response":{"status":503,"headers":{},"body":null,"truncated":false}}'
)


def test_an_error_of_a_call_is_read_as_it_was_stored() -> None:
    response = ErrorResponse(503, {"date": "x"}, "no", truncated=True, url_path="/jobs")
    timings = {"dns": 0.001, "wait": 1.5}
    made = RunError("http.status", "m", None, response, CallPhase.WAIT, timings)

    read = load_error(dump_error(made))

    assert read == made
    assert (read.phase, read.timings) == (CallPhase.WAIT, timings)


def test_an_error_of_an_older_version_has_none_of_the_new_fields() -> None:
    read = load_error(OLD)

    assert read is not None
    assert (read.type, read.phase, read.timings) == ("http.status", None, None)
    assert read.response == ErrorResponse(503, {}, None)


@pytest.mark.parametrize("field", ['"phase":"soon"', '"timings":[1]', '"timings":{"x":1}'])
def test_a_phase_or_timing_that_is_none_makes_the_error_unreadable(field: str) -> None:
    read = load_error(OLD[:-1] + f",{field}}}")

    assert read is not None
    assert read.type == "unreadable"
