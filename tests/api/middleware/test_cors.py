"""ROTA_CORS_ORIGINS: pages of exactly these origins may call the API; without it, those of none."""

from collections.abc import Callable, Iterator

import httpx
import pytest
from pydantic import ValidationError

from rota.settings import Settings
from tests.api.marks import shares_service
from tests.api.service import MANUAL, Api, problem, serving

KEY = "a-key-of-a-service-1"
ORIGIN = "https://app.example.com"
OTHERS = [
    "https://evil.example",
    "https://app.example.com.evil.example",
    "https://app.example.com:444",
    "http://app.example.com",
    "HTTPS://APP.EXAMPLE.COM",
    "null",
]


@pytest.fixture(scope="module")
def allowing(another_database: Callable[[str], str]) -> Iterator[Api]:
    with serving(another_database("sqlite"), api_key=(KEY,), cors_origins=(ORIGIN,)) as api:
        yield api


def shown(answer: httpx.Response) -> dict[str, str]:
    return {
        name: value for name, value in answer.headers.items() if name.startswith("access-control")
    }


def preflight(
    api: Api, origin: str, method: str = "PUT", headers: str = "if-match"
) -> httpx.Response:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": headers,
    }
    return api.call("OPTIONS", "/v1/tasks/t", headers=asked)


def test_a_preflight_needs_no_key_and_names_the_origin(allowing: Api) -> None:
    answer = preflight(allowing, ORIGIN, headers="authorization, content-type, idempotency-key")

    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert {"PUT", "PATCH", "DELETE"} <= set(
        answer.headers["access-control-allow-methods"].split(", ")
    )
    assert "authorization" in answer.headers["access-control-allow-headers"].lower()
    assert "access-control-allow-credentials" not in answer.headers
    assert "origin" in answer.headers["vary"].lower()


def test_a_response_can_be_read_by_that_origin_with_the_headers_of_the_api(allowing: Api) -> None:
    authorized = {"Authorization": f"Bearer {KEY}", "Origin": ORIGIN}

    answer = allowing.get("/v1/tasks", headers=authorized)

    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert {"etag", "location", "retry-after"} <= set(
        answer.headers["access-control-expose-headers"].split(", ")
    )


def test_a_refusal_can_be_read_too_and_a_key_is_still_needed(allowing: Api) -> None:
    answer = allowing.get("/v1/tasks", headers={"Origin": ORIGIN})

    problem(answer, 401, "unauthorized")
    assert answer.headers["access-control-allow-origin"] == ORIGIN


@pytest.mark.parametrize("origin", OTHERS)
def test_other_origins_get_no_permission(allowing: Api, origin: str) -> None:
    asked = preflight(allowing, origin)
    read = allowing.get("/healthz", headers={"Origin": origin})

    assert "access-control-allow-origin" not in asked.headers
    assert "access-control-allow-origin" not in read.headers


def test_without_a_key_pages_of_that_origin_only_are_let_in(
    migrated_database_url: str,
) -> None:
    page = {"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
    body = {"handler": "echo", "schedule": MANUAL}
    with serving(migrated_database_url, cors_origins=(ORIGIN,)) as api:
        made = api.put("/v1/tasks/t", json=body, headers=page)
        other = api.put("/v1/tasks/t", json=body, headers=page | {"Origin": OTHERS[0]})
        both = api.put("/v1/tasks/t", json=body, headers=[*page.items(), ("Origin", OTHERS[0])])
        host = api.put("/v1/tasks/t", json=body, headers=page | {"Host": "evil.example"})

    assert (made.status_code, made.headers["access-control-allow-origin"]) == (201, ORIGIN)
    problem(other, 403, "foreign-origin")
    problem(both, 403, "foreign-origin")
    problem(host, 421, "wrong-host")


@shares_service
def test_without_the_setting_nothing_is_allowed(api: Api) -> None:
    refused = preflight(api, ORIGIN)

    problem(refused, 403, "foreign-origin")
    assert shown(refused) == {}


@pytest.mark.parametrize(
    "origin",
    [
        *("*", "https://*.example.com", "app.example.com", "https://app.example.com/"),
        *("null", "https://App.example.com", "ftp://a", "https://a,b c", "https://user@a"),
    ],
)
def test_what_is_no_origin_is_refused_at_the_start(origin: str) -> None:
    with pytest.raises(ValidationError, match="not the origin of a page"):
        Settings(cors_origins=(origin,))
