"""Hosts of targets and constraints are judged when a task is registered, as far as they are addresses."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from rota.configuration import guard_of, targets_of
from rota.egress.guard import OwnEndpoint
from rota.errors import Invalid
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
        ("postgresql+psycopg://u@/rota?host=db&port=6432", [("db", 6432)]),
        ("postgresql+psycopg://u@db:1/rota?port=6432", [("db", 6432)]),
        ("postgresql+psycopg://u@/rota?host=a,b&port=1,2", [("a", 1), ("b", 2)]),
        ("postgresql+psycopg://u@/rota?host=a,/run&port=,1", [("a", 5432)]),
        ("postgresql+psycopg://u@/rota?host=@rota", []),
        ("postgresql+psycopg://u@db/rota?hostaddr=10.0.0.1&port=9", [("db", 9), ("10.0.0.1", 9)]),
        (
            "postgresql+psycopg://u@/rota?host=a,b&hostaddr=10.0.0.1,10.0.0.2&port=1,2",
            [("a", 1), ("b", 2), ("10.0.0.1", 1), ("10.0.0.2", 2)],
        ),
    ],
)
def test_the_database_is_never_a_target(url: str, own: list[tuple[str, int]]) -> None:
    assert _databases(url) == own


@pytest.mark.parametrize(
    ("variables", "url", "own"),
    [
        ({"PGPORT": "6432"}, "postgresql://u@db/rota", [("db", 6432)]),
        ({"PGPORT": "6432"}, "postgresql://u@db:7/rota", [("db", 7)]),
        ({"PGPORT": "6432"}, "sqlite:///rota.db", []),
        ({"PGHOST": "db"}, "postgresql:///rota", [("db", 5432)]),
        ({"PGHOST": "/run/postgresql"}, "postgresql:///rota", []),
        ({"PGHOST": "a,b", "PGPORT": "1,2"}, "postgresql:///rota", [("a", 1), ("b", 2)]),
        ({"PGHOST": "a,b", "PGPORT": "1"}, "postgresql:///rota", [("a", 1), ("b", 1)]),
        ({"PGHOSTADDR": "10.0.0.1"}, "postgresql://u@db/rota", [("db", 5432), ("10.0.0.1", 5432)]),
    ],
)
def test_nor_is_one_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    url: str,
    own: list[tuple[str, int]],
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert _databases(url) == own


def test_nor_is_one_of_a_service_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "services").write_text("[rota]\nhost=db\nport=6432\n")
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    monkeypatch.setenv("PGSERVICE", "rota")

    assert _databases("postgresql:///rota") == [("db", 6432)]


def test_hosts_with_too_few_ports_prevent_the_start() -> None:
    with pytest.raises(Invalid, match="give a port for each, or none"):
        _databases("postgresql://u@/rota?host=a,b&port=1")


def _databases(url: str) -> list[tuple[str, int]]:
    own = guard_of(Settings(database_url=url))._own
    return [(each.host, each.port) for each in own if not each.is_for_targets]


def test_the_service_is_no_target_of_its_own_if_it_requires_a_key() -> None:
    made = guard_of(
        Settings(api_key=(SecretStr("0123456789abcdef"),), host="0.0.0.0", port=8000)
    )._own

    assert made == (OwnEndpoint("0.0.0.0", 8000),)


def test_without_a_key_it_is_a_target_to_which_no_redirect_leads() -> None:
    made = guard_of(Settings(host="127.0.0.1", port=8000))._own

    assert made == (OwnEndpoint("127.0.0.1", 8000, is_for_targets=True),)
