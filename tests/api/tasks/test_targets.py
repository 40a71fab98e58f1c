"""Hosts of targets and constraints are judged when a task is registered, as far as they are addresses."""

from typing import Any

import pytest
from pydantic import SecretStr

from rota.errors import Invalid
from rota.main import guard_of, targets_of
from rota.settings import Settings
from tests.api.service import Api, pointers, problem, serving

PRIVATE = "Rota may not connect to 10.1.2.3, a private address: ROTA_HTTP_TARGETS does not have it"


def target(url: str) -> dict[str, Any]:
    return {"handler": "http", "target": {"url": url}, "schedule": {"type": "manual"}}


def test_metadata_and_odd_spellings_are_refused_with_a_pointer(api: Api) -> None:
    for host in ("169.254.169.254", "[fe80::1]", "[::ffff:127.0.0.1]", "127.1", "0x7f000001"):
        refused = api.post("/v1/tasks", json=target(f"http://{host}/"))

        problem(refused, 422, "invalid")
        assert pointers(refused) == ["/target/url"]


def test_the_host_of_a_token_url_is_judged_as_that_of_the_target(api: Api) -> None:
    auth = {"type": "oauth2", "client_id": "rota", "client_secret": "{{ input.secret }}"}
    for host in ("169.254.169.254", "127.1"):
        body = target("https://app.example.com/")
        body["target"]["auth"] = auth | {"token_url": f"http://{host}/token"}

        refused = api.post("/v1/tasks", json=body)

        problem(refused, 422, "invalid")
        assert pointers(refused) == ["/target/auth/token_url"]


def test_a_service_without_a_key_reaches_its_own_machine(api: Api) -> None:
    assert api.post("/v1/tasks", json=target("http://127.0.0.1:9/")).status_code == 201


def test_an_address_that_the_policy_does_not_have_is_refused_wherever_it_stands(
    migrated_database_url: str,
) -> None:
    reachable = [
        {"type": "reachable", "host": "10.1.2.3", "port": 1},
        {"type": "reachable", "name": "b", "url": "http://10.1.2.3:80/"},
    ]
    with serving(migrated_database_url, http_targets=("public", "10.9.0.0/16")) as api:
        refused = api.post(
            "/v1/tasks", json=target("http://10.1.2.3/") | {"constraints": reachable}
        )

        assert [fault["detail"] for fault in problem(refused, 422, "invalid")["errors"]] == [
            PRIVATE
        ] * 3
        assert pointers(refused) == ["/target/url", "/constraints/0/host", "/constraints/1/url"]
        assert api.post("/v1/tasks", json=target("http://10.9.2.3/")).status_code == 201


def test_the_default_depends_on_who_may_use_the_service() -> None:
    alone = targets_of(Settings())
    shared = targets_of(Settings(api_key=(SecretStr("0123456789abcdef"),)))

    assert alone.fault_of("127.0.0.1") is None
    assert shared.fault_of("127.0.0.1") is not None
    assert shared.fault_of("10.1.2.3") is None
    assert shared.fault_of("8.8.8.8") is None


def test_a_setting_that_cannot_be_meant_prevents_the_start() -> None:
    with pytest.raises(Invalid, match="has only addresses that Rota never connects to"):
        targets_of(Settings(http_targets=("169.254.0.0/16",)))


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("sqlite:///rota.db", []),
        ("postgresql+psycopg://u@db/rota", [("db", 5432)]),
        ("postgresql+psycopg://u@db:6432/rota", [("db", 6432)]),
        ("postgresql+psycopg://u@/rota?host=/run/postgresql", []),
        ("postgresql+psycopg://u@/rota?host=a:1&host=b", [("a", 1), ("b", 5432)]),
        ("postgresql+psycopg://u@[::1]:7/rota", [("::1", 7)]),
    ],
)
def test_the_database_is_never_a_target(url: str, own: list[tuple[str, int]]) -> None:
    made = guard_of(Settings(database_url=url))._own

    assert [(each.host, each.port) for each in made] == own


def test_the_service_is_no_target_of_its_own_if_it_requires_a_key() -> None:
    made = guard_of(
        Settings(api_key=(SecretStr("0123456789abcdef"),), host="0.0.0.0", port=8000)
    )._own

    assert [(each.host, each.port) for each in made] == [("0.0.0.0", 8000)]
