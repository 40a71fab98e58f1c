"""Targets that complete their runs later may say back what they were sent: no secret of it is kept or shown."""

import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.api.marks import on_both
from tests.api.runs.test_completions import beat, complete, handed_off
from tests.api.secrets.test_echo import dump
from tests.api.service import MANUAL, Api, problem, serving
from tests.api.test_encryption import OLD
from tests.handlers.target import Received, Site
from tests.handlers.target import serving as serving_site

pytestmark = on_both

STORED, BEFORE = 'hunter2/and+more&"x"', "hunter1-and-before"
LITERAL, PASSWORD = "hunter4-and-more", "hunter5-and-more"
OF_INPUT, OF_KV = "hunter6-and-more", "hunter7-and-more"
NUMBER = "8812488124"
HEADERS = {
    "X-Api-Key": "{{ secret.crm }}",
    "X-Number-Key": "{{ secret.number }}",
    "X-Token": f"Token {LITERAL}",
    "X-Kv-Key": "{{ kv.key }}",
}
AUTH = {"type": "basic", "username": "rota", "password": "{{ secret.password }}"}
SECRETS = (STORED, BEFORE, LITERAL, PASSWORD, OF_INPUT, OF_KV)


@pytest.fixture
def site() -> Iterator[Site]:
    with serving_site() as site:
        site.answer(202)
        yield site


@pytest.fixture
def api(migrated_database_url: str) -> Iterator[Api]:
    with serving(migrated_database_url, encryption_keys=(OLD,)) as api:
        yield api


def sent(api: Api, site: Site, **fields: Any) -> tuple[dict[str, Any], Received]:
    """Run a task whose request has secrets; return the run, which waits for its completion, and the request."""
    bound = {"origins": [f"http://127.0.0.1:{site.port}"]}
    for name, value in (("crm", BEFORE), ("number", NUMBER), ("password", PASSWORD)):
        assert api.put(f"/v1/secrets/{name}", json={"value": value} | bound).status_code == 201
    assert api.post("/v1/secrets/crm/rotate", json={"value": STORED}).status_code == 200
    url = f"http://127.0.0.1:{site.port}/jobs"
    target = {"url": url, "async": True, "headers": HEADERS, "auth": AUTH, "kv": ["key"]}
    given = {
        "handler": "http",
        "target": target,
        "schedule": MANUAL,
        "secret_input": True,
        "input": {"customers": [{"card": OF_INPUT}]},
        "kv": {"key": OF_KV},
        "retry": {"max_attempts": 1},
    }
    answer = api.put("/v1/tasks/echo", json=given | fields)
    assert answer.status_code == 201, answer.text
    return handed_off(api, api.run("echo")), site.received[-1]


def said_back(*texts: str) -> list[str]:
    """Return texts as they are and in base64, percent-encoded and as JSON."""
    ways = (
        str,
        json.dumps,
        lambda text: b64encode(text.encode()).decode(),
        lambda text: quote(text, safe=""),
    )
    return [way(text) for text in texts for way in ways]


def all_of(got: Received) -> list[str]:
    return said_back(*got.headers.values(), got.body.decode(), *SECRETS)


def found_in(data: bytes, got: Received) -> set[str]:
    """Return which of the secrets, and of the token, are in some bytes in one of these ways."""
    of_basic = got.headers["authorization"].removeprefix("Basic ")
    secrets = (*SECRETS, NUMBER, got.headers["x-rota-token"], of_basic)
    return {
        secret
        for secret in secrets
        for form in (
            secret,
            json.dumps(secret)[1:-1],
            quote(secret, safe=""),
            b64encode(secret.encode()).decode().rstrip("="),
        )
        if form.encode() in data
    }


@pytest.mark.parametrize(
    "outcome",
    [
        lambda said: {"result": said, "kv": [{"op": "set", "key": "echo", "value": said}]},
        lambda said: {"retry": {"reason": " ".join(said)}},
        lambda said: {"fail": {"reason": " ".join(said)}},
    ],
    ids=["result", "retry", "fail"],
)
def test_no_secret_of_the_request_is_kept_of_a_completion(
    api: Api, site: Site, outcome: Any
) -> None:
    run, got = sent(api, site)
    token = got.headers["x-rota-token"]

    beat(api, run, token, message=" ".join(all_of(got)[:8]))
    answer = complete(api, run, token, **outcome(all_of(got)))

    assert answer.status_code == 200, answer.text
    assert "[redacted]" in answer.text
    assert found_in(answer.content, got) == set()
    assert found_in(dump(api), got) == set()


def test_no_secret_of_the_request_is_kept_of_a_heartbeat(api: Api, site: Site) -> None:
    run, got = sent(api, site)
    token = got.headers["x-rota-token"]

    for text in said_back(token, *SECRETS):
        assert beat(api, run, token, message=text).status_code == 200
        shown = api.read(f"/v1/runs/{run['id']}")["progress"]
        assert found_in(json.dumps(shown).encode(), got) == set()


def test_a_secret_input_stays_secret_if_its_task_has_none_any_more(api: Api, site: Site) -> None:
    run, got = sent(api, site)
    answer = api.patch("/v1/tasks/echo", json={"secret_input": False, "input": None})
    assert answer.status_code == 200, answer.text

    done = complete(api, run, got.headers["x-rota-token"], result=OF_INPUT).json()

    assert done["result"] == "[redacted]"


def test_a_large_completion_is_redacted_as_well(api: Api, site: Site) -> None:
    run, got = sent(api, site)

    done = complete(api, run, got.headers["x-rota-token"], result=["." * 500_000, STORED]).json()

    assert done["result"] == ["." * 500_000, "[redacted]"]


def test_a_secret_outside_of_a_text_is_422_and_the_attempt_continues(api: Api, site: Site) -> None:
    run, got = sent(api, site)
    token = got.headers["x-rota-token"]

    refused = problem(complete(api, run, token, result=int(NUMBER)), 422, "invalid")

    assert "outside of a text" in refused["detail"]
    assert NUMBER not in json.dumps(refused)
    assert complete(api, run, token, result=1).status_code == 200


def test_a_completion_of_a_task_without_secrets_loses_the_token_only(api: Api, site: Site) -> None:
    target = {"url": f"http://127.0.0.1:{site.port}/jobs", "async": True}
    api.task("plain", handler="http", target=target)
    run = handed_off(api, api.run("plain"))
    token = site.received[-1].headers["x-rota-token"]

    done = complete(api, run, token, result={"got": f"Bearer {token}", "pages": 10}).json()

    assert done["result"] == {"got": "Bearer [redacted]", "pages": 10}
