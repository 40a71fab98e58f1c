"""Wrong keys: an address that tries them is slowed, and nobody else."""

import re
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest

from rota.api.middleware.refusals import Refusals
from rota.domain.access.failed_logins import FailedLogins
from tests.api.keys.clients import ADMIN, bearer, client, made
from tests.api.middleware.test_limits import the
from tests.api.service import Api, problem, serving
from tests.api.test_audit import newest

MOST = 3
PROXY = "127.0.0.1"


@pytest.fixture
def proxied(migrated_database_url: str) -> Iterator[Api]:
    """A service behind a proxy on this machine, with a key."""
    with serving(
        migrated_database_url, api_key=ADMIN, failed_logins=MOST, trusted_proxies=(PROXY,)
    ) as api:
        yield api


def call(api: Api, key: str | None, address: str = "192.0.2.1", path: str = "/v1/tasks") -> Any:
    headers = {"X-Forwarded-For": address} | (bearer(key) if key else {})
    return api.get(path, headers=headers)


def fail(api: Api, times: int = MOST, **where: str) -> None:
    for number in range(times):
        problem(call(api, f"wrong-{number}", **where), 401, "unauthorized")


def test_an_address_that_tries_keys_has_to_wait_and_no_other_one_has(proxied: Api) -> None:
    fail(proxied)

    refused = call(proxied, "wrong")
    assert "from this address" in problem(refused, 429, "rate-limited")["detail"]
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    # Whether the key is right is not shown.
    assert call(proxied, ADMIN).status_code == 429
    assert call(proxied, ADMIN, address="192.0.2.2").status_code == 200
    problem(call(proxied, None), 401, "unauthorized")
    assert call(proxied, None, path="/healthz").status_code == 200


def test_who_was_let_in_before_is_not_locked_out_from_the_same_address(proxied: Api) -> None:
    """As where an attacker is behind the same proxy, or the same address translation."""
    assert call(proxied, ADMIN).status_code == 200
    fail(proxied)

    assert call(proxied, "wrong").status_code == 429
    assert call(proxied, ADMIN).status_code == 200


def test_a_stored_key_is_let_in_where_others_have_to_wait(proxied: Api) -> None:
    """Nobody guesses it, and otherwise who sends wrong keys all the time locks out new, rotated and all keys after a
    restart."""
    mine, revoked = (made(proxied, "tasks:read") for _ in range(2))
    assert client(proxied, ADMIN).delete(f"/v1/keys/{revoked['id']}").status_code == 204
    fail(proxied)

    assert call(proxied, mine["key"]).status_code == 200
    rotated = client(proxied, ADMIN).post(f"/v1/keys/{mine['id']}/rotate", json={"overlap": 0})
    assert call(proxied, rotated.json()["key"]).status_code == 200
    for wrong in (revoked["key"], mine["key"][:-1], ADMIN):
        assert call(proxied, wrong).status_code == 429


def test_a_key_as_the_password_of_a_calendar_is_tried_as_any_other(proxied: Api) -> None:
    mine = made(proxied, "tasks:read")["key"]

    def subscribe(key: str) -> Any:
        sent = b64encode(f"calendar:{key}".encode()).decode()
        headers = {"X-Forwarded-For": "192.0.2.1", "Authorization": f"Basic {sent}"}
        return proxied.get("/v1/upcoming.ics", headers=headers)

    for number in range(MOST):
        problem(subscribe(f"wrong-{number}"), 401, "unauthorized")

    assert subscribe(ADMIN).status_code == 429
    assert subscribe(mine).status_code == 200


def test_one_key_is_remembered_once_however_it_is_sent(proxied: Api) -> None:
    """So nobody makes the service forget the keys of others."""
    address = {"X-Forwarded-For": "192.0.2.1"}
    for spelling in ("Bearer  {}", "bearer {}", "BEARER {} "):
        sent = address | {"Authorization": spelling.format(ADMIN)}
        assert proxied.get("/v1/tasks", headers=sent).status_code == 200

    assert len(the(proxied, Refusals)._logins._accepted) == 1


def test_open_pages_do_not_tell_for_free_whether_a_key_is_right(proxied: Api) -> None:
    for number in range(MOST):
        assert call(proxied, f"wrong-{number}", path="/readyz").status_code == 200

    assert call(proxied, "wrong", path="/readyz").status_code == 429


def test_a_minute_later_it_may_try_again(proxied: Api) -> None:
    fail(proxied)
    logins: FailedLogins = the(proxied, Refusals)._logins

    logins._failures["192.0.2.1"][0] -= 60  # the first one was a minute ago

    assert call(proxied, ADMIN).status_code == 200


def test_the_token_of_an_attempt_is_no_key(proxied: Api) -> None:
    fail(proxied)

    path = "/v1/runs/01a20bd8-3c05-7058-ab7c-c61199886531/heartbeat"
    headers = {"X-Forwarded-For": "192.0.2.1"} | bearer("token")
    for _ in range(MOST + 1):
        problem(proxied.post(path, headers=headers), 404, "not-found")


def test_without_a_key_of_its_own_the_service_counts_nothing(migrated_database_url: str) -> None:
    with serving(migrated_database_url, failed_logins=1) as api:
        for _ in range(3):
            assert api.get("/v1/tasks", headers=bearer("what")).status_code == 200


def test_refused_requests_are_counted_by_their_status(proxied: Api) -> None:
    before = refused_so_far(proxied)
    reader = client(proxied, made(proxied, "tasks:read")["key"])
    fail(proxied)
    call(proxied, "wrong")
    problem(reader.post("/v1/tasks", json={}), 403, "forbidden")

    after = refused_so_far(proxied)
    assert {each: after[each] - before.get(each, 0) for each in after} == {
        "401": MOST,
        "429": 1,
        "403": 1,
    }


def refused_so_far(api: Api) -> dict[str, int]:
    """Return how many requests were refused, by status."""
    metrics = call(api, ADMIN, address="192.0.2.2", path="/metrics").text
    found = re.findall(r'^rota_requests_refused_total{status="(\d+)"} (\d+)', metrics, re.MULTILINE)
    return {status: int(number) for status, number in found}


# ---------------------------------------------------------------------------------------------------------- proxies
def test_the_log_of_changes_has_the_address_of_the_client_of_a_trusted_proxy(proxied: Api) -> None:
    admin = client(proxied, ADMIN)
    headers = {"X-Forwarded-For": "8.8.8.8, 192.0.2.9"}
    admin.put("/v1/queues/q", json={"concurrency": 1}, headers=headers)

    assert newest(admin)["data"]["address"] == "192.0.2.9"


def test_a_proxy_that_is_not_trusted_is_not_believed(migrated_database_url: str) -> None:
    with serving(migrated_database_url, api_key=ADMIN, headers=bearer(ADMIN)) as api:
        headers = {"X-Forwarded-For": "192.0.2.9", "X-Forwarded-Proto": "https"}
        api.put("/v1/queues/q", json={"concurrency": 1}, headers=headers)

        assert newest(api)["data"]["address"] == "127.0.0.1"


@pytest.mark.parametrize(
    "header",
    [
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Forwarded-Proto": "http"},
        {"Forwarded": "for=127.0.0.1"},
    ],
)
def test_without_a_key_no_forwarded_request_is_let_in_from_a_trusted_proxy_either(
    migrated_database_url: str, header: dict[str, str]
) -> None:
    with serving(migrated_database_url, trusted_proxies=("127.0.0.0/8", "::1")) as api:
        assert api.get("/v1/tasks").status_code == 200
        problem(api.get("/v1/tasks", headers=header), 403, "not-local")
