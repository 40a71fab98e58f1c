"""Bodies that are long enough to be validated before FastAPI sees them, for models whose fields all have defaults."""

from typing import Any

import pytest

from tests.api.marks import shares_service
from tests.api.service import Api, pointers, problem

LONG = "x" * 5_000


@shares_service
@pytest.mark.parametrize(
    ("method", "path", "body", "pointer"),
    [
        ("PUT", "/v1/queues/long", {"concurrency": LONG}, "/concurrency"),
        ("PUT", "/v1/queues/long", {"concurency": 5, "pad": LONG}, "/concurency"),
        ("POST", "/v1/tasks/long/run", {"inputs": LONG}, "/inputs"),
        ("POST", "/v1/tasks/long/pause", {"why": LONG}, "/why"),
        ("PUT", "/v1/handlers/long", {"input_schema": LONG}, "/input_schema"),
    ],
)
def test_a_long_body_that_does_not_fit_is_refused_and_not_taken_for_an_empty_one(
    api: Api, method: str, path: str, body: dict[str, Any], pointer: str
) -> None:
    api.task("long")

    refused = api.call(method, path, json=body)

    problem(refused, 422, "invalid")
    assert pointer in pointers(refused)
    assert api.items("/v1/tasks/long/runs") == []
    assert api.read("/v1/tasks/long")["status"] == "active"
