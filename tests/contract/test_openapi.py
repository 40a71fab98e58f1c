"""The service conforms to its OpenAPI document, over a real socket: schemathesis calls every operation with data that
fits the document, and with data that does not; with a key, and without one. No reply shows a secret of the service.
"""

from typing import Any
from urllib.parse import urlsplit

import httpx
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from rota.api.middleware.auth import is_open
from tests.api.service import check_problem
from tests.contract.secrets import WITH_KEY, Present, shown
from tests.support.openapi import openapi_document

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# Streams have no end: tests/api/test_events.py and tests/api/kv/test_watch.py cover them.
schema = schemathesis.openapi.from_dict(openapi_document()).exclude(path="/v1/events")
BATCH = "/v1/tasks/batch"


@schemathesis.serializer("application/x-ndjson")
def lines(_context: schemathesis.SerializationContext, value: Any) -> bytes:
    """Send lines as they are."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


def examples(number: int, *phases: Phase) -> Any:
    """Return settings that give the same examples each time; `Phase.explicit` adds those of schemathesis' coverage.

    Generating the latter takes ten seconds of collection, and most of the time of the tests.
    """
    return settings(
        max_examples=number,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[*phases, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@schema.exclude(path=BATCH).parametrize()
@examples(6)
def test_every_operation_conforms_to_the_document(
    case: schemathesis.Case, service: str, session: requests.Session, present: Present
) -> None:
    check(case, service, session)
    # And on existing rows; in one test, since generating the examples takes longer than calling.
    aim(case, present)
    check(case, service, session)
    check_without_key(case, service, session)


@schema.include(path=BATCH).parametrize()
@examples(12)
def test_batches_conform_to_the_document(
    case: schemathesis.Case, service: str, session: requests.Session
) -> None:
    check(case, service, session)


def check(case: schemathesis.Case, service: str, session: requests.Session) -> None:
    case.query.pop("watch", None)
    case.headers.update(WITH_KEY)
    response = case.call(base_url=service, timeout=30, session=session)
    checks = CHECKS
    # Schemathesis does not count 413 as a refusal.
    if case.operation.body and response.status_code != 413:
        # Only for bodies: in a query everything is a string. Data that fits may still be refused: no schema can
        # distinguish a cron expression that fires from one that does not.
        checks = [*CHECKS, negative_data_rejection]
    case.validate_response(response, checks=checks)
    _check_reply(case, response)


def check_without_key(case: schemathesis.Case, service: str, session: requests.Session) -> None:
    """Call an operation without a key: it is refused, unless it needs none, or its head is too large to be read."""
    del case.headers["Authorization"]
    response = case.call(base_url=service, timeout=30, session=session)
    path = urlsplit(str(response.request.url)).path
    if not is_open(path):
        # Badges let anyone in, so that a request which is not valid is told so.
        others = {422} if path.endswith("/badge.svg") else set()
        if path == "/v1/status":  # it shows what is public
            others = {200, 422}
        assert response.status_code in {401, 414, 431} | others, response.text
    case.validate_response(response, checks=CHECKS)
    _check_reply(case, response)


def _check_reply(case: schemathesis.Case, response: Any) -> None:
    headers = {name: values[0] for name, values in response.headers.items()}
    assert shown(response.content + repr(headers).encode()) == []
    if response.status_code >= 400 and case.method != "HEAD":  # which has no body
        check_problem(
            httpx.Response(response.status_code, headers=headers, content=response.content)
        )


def aim(case: schemathesis.Case, present: Present) -> None:
    """Point a case at an existing task, and make a registration one that is accepted."""
    if case.method == "DELETE":
        return
    there = present.next(only_first=case.method in {"PUT", "PATCH"})
    for name in case.path_parameters:
        case.path_parameters[name] = there[name]
    if isinstance(case.body, dict) and {"handler", "schedule"} <= case.body.keys():
        case.body.pop("target", None)
        case.body |= {"handler": "echo", "schedule": {"type": "manual"}}
