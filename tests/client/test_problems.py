"""Errors: one class for each type of problem."""

import pickle

import pytest

from rota.api.problems.types import PROBLEM_TYPES
from rota.client.entries.values import conflict_in
from rota.client.errors import BackPressure, ProblemError
from rota.client.problem_classes import PROBLEMS, problem_of
from rota.client.problems import (
    Conflict,
    Forbidden,
    Invalid,
    KvConflict,
    NotFound,
    TaskExists,
    Unavailable,
)

BASES: dict[int, type[ProblemError]] = {
    403: Forbidden,
    409: Conflict,
    422: Invalid,
    429: BackPressure,
    503: ProblemError,
}


def test_each_type_of_problem_has_a_class_of_its_own() -> None:
    assert set(PROBLEMS) == set(PROBLEM_TYPES)
    assert len(set(PROBLEMS.values())) == len(PROBLEMS)


@pytest.mark.parametrize("slug", PROBLEM_TYPES)
def test_a_problem_is_an_error_of_its_class_and_status(slug: str) -> None:
    status = PROBLEM_TYPES[slug][0]
    error = problem_of(status, {"type": f"/problems/{slug}", "status": status, "detail": "No."})

    assert type(error) is PROBLEMS[slug]
    assert isinstance(error, BASES.get(status, ProblemError))
    assert (error.type, error.status, str(error)) == (slug, status, "No.")


def test_a_newer_type_of_problem_is_an_error_of_its_status() -> None:
    error = problem_of(409, {"type": "/problems/task-asleep", "detail": "It is asleep."})

    assert type(error) is Conflict
    assert error.type == "task-asleep"


def test_what_a_proxy_answers_is_an_error_too() -> None:
    assert isinstance(problem_of(502, {}), Unavailable)
    assert type(problem_of(418, {})) is ProblemError


def test_an_error_says_where_the_faults_are_and_survives_pickle() -> None:
    faults = [{"pointer": "/schedule", "detail": "missing"}, {"parameter": "limit", "detail": "?"}]
    document = {"type": "/problems/invalid", "detail": "Two faults.", "errors": faults}
    error = problem_of(422, document | {"request_id": "abc"}, 1.5)

    copied = pickle.loads(pickle.dumps(error))

    assert str(copied) == "Two faults.\n  /schedule: missing\n  limit: ?"
    assert (copied.request_id, copied.retry_after) == ("abc", 1.5)
    assert copied.errors == error.errors


def test_fields_of_a_problem_show_what_exists() -> None:
    error = problem_of(409, {"type": "/problems/task-exists", "task": {"name": "t"}})

    assert isinstance(error, TaskExists)
    assert error.members["task"] == {"name": "t"}


@pytest.mark.parametrize(
    ("pointer", "kind"), [("/operations/0", True), ("/operations/1", False), ("", False)]
)
def test_a_check_that_fails_is_a_conflict_and_another_operation_is_none(
    pointer: str, kind: bool
) -> None:
    document = {
        "type": "/problems/operation-failed",
        "errors": [{"pointer": pointer, "detail": ""}],
    }
    operations = [{"op": "check", "key": "a"}, {"op": "increment", "key": "a"}]

    error = conflict_in(problem_of(409, document), operations)

    assert isinstance(error, KvConflict) is kind
    assert not isinstance(error, NotFound)
