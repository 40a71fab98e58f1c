"""The cost of a request is proportional to its size, whatever its content, and delays no other request."""

import shutil
from collections.abc import Iterator
from functools import cache
from typing import Any

import httpx
import pytest

from rota.errors import MOST_FAULTS
from tests.api.service import MANUAL, Api, pointers, problem, serving
from tests.support.costs import SHAPES, bytes_of, check_growth, seconds_of
from tests.support.torture import Part, torture

JSON = {"content-type": "application/json"}
NDJSON = {"content-type": "application/x-ndjson"}
TASK = {"handler": "echo", "schedule": MANUAL}
MEBIBYTE = 1_048_576
#: Every route that reads a body.
ROUTES = [
    ("POST", "/v1/tasks"),
    ("POST", "/v1/tasks/batch"),
    ("PUT", "/v1/tasks/other"),
    ("PATCH", "/v1/tasks/t"),
    ("POST", "/v1/tasks/t/run"),
    ("POST", "/v1/tasks/t/ping"),
    ("POST", "/v1/tasks/t/pause"),
    ("POST", "/v1/tasks/t/resume"),
    ("POST", "/v1/tasks/t/backfill"),
    ("POST", "/v1/tasks/pause"),
    ("POST", "/v1/tasks/resume"),
    ("POST", "/v1/tasks/cancel"),
    ("POST", "/v1/tasks/run"),
    ("POST", "/v1/tasks/delete"),
    ("POST", "/v1/runs/rerun"),
    ("POST", "/v1/runs/cancel"),
    ("POST", "/v1/runs/delete"),
    ("POST", "/v1/schedules/preview"),
    ("PUT", "/v1/queues/other"),
    ("PUT", "/v1/holds/other"),
    ("POST", "/v1/queues/other/lease"),
    ("POST", "/v1/tasks/t/ping"),
    ("PUT", "/v1/handlers/other"),
    ("PUT", "/v1/calendars/other"),
    ("PUT", "/v1/secrets/other"),
    ("POST", "/v1/secrets/other/rotate"),
    ("POST", "/v1/keys"),
    ("POST", "/v1/keys/aaaaaaaaaaaa/rotate"),
    ("POST", "/v1/runs/leased/rerun"),
    ("POST", "/v1/runs/leased/complete"),
    ("POST", "/v1/runs/leased/heartbeat"),
    ("PUT", "/v1/tasks/t/kv/key"),
    ("POST", "/v1/tasks/t/kv/transaction"),
    ("POST", "/v1/tasks/t/kv/revert"),
    ("POST", "/v1/tasks/t/kv/import"),
]
_PATHS = [path for _, path in ROUTES]
# Where shapes mean most; all others are registrations.
_AT_HOME = {
    "items that are empty": "/v1/tasks/batch",
    "items of the wrong kind": "/v1/tasks/batch",
    "items beside others": "/v1/tasks/batch",
    "operations that are empty": "/v1/tasks/t/kv/transaction",
    "operations that are unknown": "/v1/tasks/t/kv/transaction",
    "numbers": "/v1/tasks/t/kv/import",
    "texts": "/v1/tasks/t/run",
}
# One shape for each part of what every route does with a body: JSON, fields twice, pointers, and models.
_EVERYWHERE = [
    "fields, one of them twice",
    "fields that are not known",
    "a long key over many items",
    "empty objects",
]
# One for each way through a body more: a schedule, operations, and one long text. The others take a minute.
_QUICK = [*_EVERYWHERE, "schedules", "operations that are unknown", "digits", "texts"]
_SHAPES_BY_TIME = [
    pytest.param(shape, marks=() if shape in _QUICK else torture(Part.COSTS)) for shape in SHAPES
]


@pytest.fixture(scope="module")
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    path = tmp_path_factory.mktemp("costs") / "rota.db"
    shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
    with serving(f"sqlite:///{path}") as made:
        made.task("t")
        yield made


@cache
def leased(api: Api) -> dict[str, Any]:
    """A run that a worker has leased, with its token; no body of these tests completes it."""
    assert api.call("PUT", "/v1/handlers/outside", json={}).status_code == 201
    api.task("leased", handler="outside", queue="outside")
    api.post("/v1/tasks/leased/run")
    taken = api.post("/v1/queues/outside/lease", json={"handlers": ["outside"], "lease": "1d"})
    (item,) = taken.json()["items"]
    return dict(item)


def send(api: Api, method: str, path: str, body: str) -> httpx.Response:
    headers = NDJSON if path.endswith("/import") else JSON
    content = body.encode("utf-8", "surrogatepass")
    if "leased" in path:
        item = leased(api)
        headers = headers | {"X-Rota-Token": item["token"]}
        path = path.replace("leased", item["run"]["id"])
    answer = api.call(method, path, content=content, headers=headers)
    assert answer.status_code < 500, answer.text
    return answer


def refused(api: Api, body: Any, path: str = "/v1/tasks") -> httpx.Response:
    answer = api.post(path, json=body)
    problem(answer, 422, "invalid")
    return answer


# ------------------------------------------------------------------------------------------------- faults
@pytest.mark.parametrize("count", [100, 20_000])
def test_twenty_faults_and_the_number_of_further_ones_are_reported(api: Api, count: int) -> None:
    answer = refused(api, TASK | {f"m{index}": 0 for index in range(count)})

    assert pointers(answer) == [f"/m{index}" for index in range(MOST_FAULTS)]
    assert answer.json()["errors_omitted"] == count - MOST_FAULTS


def test_twenty_faults_leave_none_out(api: Api) -> None:
    answer = refused(api, TASK | {f"m{index}": 0 for index in range(MOST_FAULTS)})

    assert len(pointers(answer)) == MOST_FAULTS
    assert "errors_omitted" not in answer.json()


@pytest.mark.parametrize("count", [15, 10_000])
def test_the_faults_of_a_batch_are_counted(api: Api, count: int) -> None:
    answer = refused(api, {"items": [{}] * count}, "/v1/tasks/batch")

    assert pointers(answer)[:3] == ["/items/0/handler", "/items/0/schedule", "/items/1/handler"]
    assert len(pointers(answer)) == MOST_FAULTS
    assert answer.json()["errors_omitted"] == 2 * count - MOST_FAULTS


def test_faults_of_parameters_and_of_a_long_body_are_reported_together(api: Api) -> None:
    body = TASK | {"description": 5, "input": "x" * 100_000}
    answer = refused(api, body, "/v1/tasks?on_conflict=unknown")

    assert pointers(answer) == ["on_conflict", "/description"]


def test_an_unknown_handler_of_a_long_body_is_reported(api: Api) -> None:
    body = TASK | {"handler": "eccho", "description": 5, "input": "x" * 100_000}
    answer = refused(api, body)

    assert pointers(answer) == ["/handler", "/description"]


def test_a_long_body_is_refused_where_every_field_has_a_default(api: Api) -> None:
    api.task("all-optional")

    answer = api.post("/v1/tasks/all-optional/run", json={"inputs": "x" * 3_000})

    problem(answer, 422, "invalid")
    assert pointers(answer) == ["/inputs"]


@pytest.mark.parametrize("length", [2_000, 200_000])
def test_a_pointer_that_is_as_long_as_a_key_ends_above_it(api: Api, length: int) -> None:
    key = "k" * length
    answer = refused(api, TASK | {"target": {"url": "http://localhost/", key: 0}})

    [fault] = answer.json()["errors"]
    assert fault["pointer"] == "/target"
    assert fault["detail"].startswith(f"in it, at {key[:100]}… ({length - 100} characters more): ")
    assert len(answer.content) < 3_000


# ------------------------------------------------------------------------------------------- long bodies
def test_a_long_registration_is_treated_like_a_short_one(api: Api) -> None:
    text = "x" * 100_000
    made = api.put("/v1/tasks/long", json=TASK | {"input": text, "timeout": "15m", "generation": 7})

    assert made.status_code == 201, made.text
    read = api.read("/v1/tasks/long")
    assert (read["input"], read["timeout"], read["generation"]) == (text, 900, 1)
    again = api.put("/v1/tasks/long", json=read)
    assert again.json()["outcome"] == "unchanged"
    api.delete("/v1/tasks/long")


@pytest.mark.parametrize("body", ["null", " " * 70_000 + "null"])
def test_null_is_no_body_even_if_it_is_long(api: Api, body: str) -> None:
    answer = send(api, "POST", "/v1/tasks", body)

    assert pointers(answer) == [""]


@pytest.mark.parametrize(
    ("path", "most"), [("/v1/tasks/t/run", 200_000), ("/v1/tasks/batch", 400_000)]
)
def test_more_values_than_a_body_may_have_are_refused(api: Api, path: str, most: int) -> None:
    answer = send(api, "POST", path, f'{{"input":[{",".join(["0"] * most)}]}}')

    document = problem(answer, 413, "too-large")
    assert document["detail"] == f"The body has more than {most:,} JSON values."


def test_a_text_of_many_commas_is_one_value(api: Api) -> None:
    answer = api.post("/v1/tasks/t/run", json={"input": '[{,"\\' * 120_000})

    assert answer.status_code == 202, answer.text


def test_a_line_of_an_import_has_a_limit_of_values(api: Api) -> None:
    answer = send(
        api, "POST", "/v1/tasks/t/kv/import", f'{{"key":"k","value":[{"0," * 300_000}0]}}'
    )

    document = problem(answer, 413, "too-large")
    assert document["detail"] == "Line 1: It has more than 200,000 JSON values."


# ------------------------------------------------------------------------------------------------ growth
def test_every_route_with_a_body_is_measured(api: Api) -> None:
    known = {
        (
            method,
            path.replace("other", "{name}")
            .replace("/t/", "/{name}/")
            .replace("leased", "{id}")
            .replace("a" * 12, "{id}"),
        )
        for method, path in ROUTES
    }
    known = {
        (method, path.removesuffix("/t") + "/{name}" * path.endswith("/t"))
        for method, path in known
    }
    known = {(method, path.replace("/kv/key", "/kv/{key}")) for method, path in known}
    document = api.read("/openapi.json")
    reading = {
        (method.upper(), path)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if "requestBody" in operation
    }

    assert reading == known


@pytest.mark.parametrize("shape", _SHAPES_BY_TIME)
def test_a_request_of_four_times_the_size_costs_five_times_as_much_at_most(
    api: Api, shape: str
) -> None:
    path = _AT_HOME.get(shape, "/v1/tasks")
    check_growth(lambda body: send(api, "POST", path, body), SHAPES[shape], 1_000)


def test_a_value_of_four_times_the_size_costs_five_times_as_much_at_most(api: Api) -> None:
    path = "/v1/tasks/t/kv/key"
    check_growth(lambda body: send(api, "PUT", path, body), SHAPES["a value"], 5_000)


@torture(Part.COSTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_large_request_of_four_times_the_size_costs_five_times_as_much_at_most(
    api: Api, shape: str
) -> None:
    check_large(api, "POST", _AT_HOME.get(shape, "/v1/tasks"), shape)


@torture(Part.COSTS)
@pytest.mark.parametrize("shape", _EVERYWHERE)
@pytest.mark.parametrize(("method", "path"), ROUTES, ids=_PATHS)
def test_a_large_request_to_any_route_costs_five_times_as_much_at_most(
    api: Api, method: str, path: str, shape: str
) -> None:
    check_large(api, method, path, shape)


def check_large(api: Api, method: str, path: str, shape: str) -> None:
    largest = 16 * MEBIBYTE if path.endswith(("/batch", "/import")) else MEBIBYTE
    per_part = len(SHAPES[shape](1_000)) / 1_000
    check_growth(
        lambda body: send(api, method, path, body), SHAPES[shape], int(largest / per_part / 5)
    )


def test_the_cost_of_a_request_is_limited(api: Api) -> None:
    """Absolute bounds, far above what is measured, for what took seconds and hundreds of megabytes."""
    twice = SHAPES["fields, one of them twice"](20_000)
    key = f'{{"{"k" * 60_000}":[{"0," * 4_000}"\\u0041"]}}'

    assert seconds_of(lambda: send(api, "POST", "/v1/tasks", twice)) < 0.3
    assert bytes_of(lambda: send(api, "POST", "/v1/tasks", key)) < 10_000_000
