"""What a key is accepted for, and the response to a client without one."""

from collections.abc import Iterator

import pytest

from rota.domain.access.keys import KeyId, new_key
from tests.api.keys.clients import UNKNOWN, asked, bearer, client, later, made
from tests.api.service import Api, pointers, problem, serving
from tests.support.factories import eventually


def test_a_key_is_accepted_for_its_scopes(api: Api) -> None:
    key = made(api, "tasks:read")["key"]

    assert asked(api, key).status_code == 200
    refused = api.put("/v1/queues/q", json={}, headers=bearer(key))
    assert "queues" in problem(refused, 403, "forbidden")["detail"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/keys"),
        ("POST", "/v1/keys"),
        ("GET", f"/v1/keys/{UNKNOWN}"),
        ("DELETE", f"/v1/keys/{UNKNOWN}"),
        ("POST", f"/v1/keys/{UNKNOWN}/rotate"),
    ],
)
def test_only_administrators_manage_keys(api: Api, method: str, path: str) -> None:
    every = ["tasks:read", "tasks:write", "runs:read", "runs:write", "kv:read", "kv:write"]
    key = made(api, *every, "secrets", "queues", "work", "audit")["key"]

    answer = client(api, key).call(
        method,
        path,
        **({"json": {"name": "CI", "scopes": ["admin"]}} if path == "/v1/keys" else {}),
    )

    problem(answer, 403, "forbidden")


def test_an_administrator_makes_keys_under_its_own_name(api: Api) -> None:
    admin = made(api, "admin")

    answer = client(api, admin["key"]).post("/v1/keys", json={"name": "CI", "scopes": ["admin"]})

    assert answer.json()["created_by"] == f"key:{admin['id']}"


def test_rows_show_the_id_of_the_key(api: Api) -> None:
    key = made(api, "tasks:write", "tasks:read", "kv:write", "kv:read")
    task = {"handler": "echo", "schedule": {"type": "manual"}}

    client(api, key["key"]).put("/v1/tasks/by-key", json=task)
    entry = client(api, key["key"]).put("/v1/tasks/by-key/kv/a", json={"value": 1})

    assert entry.json()["updated_by"] == f"key:{key['id']}"


def test_any_key_reads_what_it_may_do(api: Api) -> None:
    key = made(api, "work", tasks=["a-"], queues=["mail"], rate=5, name="worker")

    own = asked(api, key["key"], "/v1/keys/self").json()

    assert own == {
        "label": f"key:{key['id']}",
        "id": key["id"],
        "name": "worker",
        "scopes": ["work"],
        "tasks": ["a-"],
        "queues": ["mail"],
        "rate": 5.0,
        "max_tasks": None,
        "max_unfinished_runs": None,
        "max_kv_bytes": None,
        "expires_at": None,
    }
    configured = api.read("/v1/keys/self")
    assert (configured["label"], configured["id"], configured["scopes"]) == (
        "key:1",
        None,
        ["admin"],
    )


def mistyped(key: str) -> Iterator[str]:
    """Yield the key with one error each."""
    at = len("rota_") + 20
    yield key[:-1]
    yield key + "a"
    yield key[:at] + ("b" if key[at] == "a" else "a") + key[at + 1 :]
    yield key[:at] + key[at + 1] + key[at] + key[at + 2 :] if key[at] != key[at + 1] else key[:-2]
    yield key.replace("_", "-", 1).replace("rota-", "rota_") + "_"
    yield "rota_"


def test_a_mistyped_key_is_distinguished_from_an_unknown_one(api: Api) -> None:
    key = made(api, "tasks:read")["key"]

    for text in mistyped(key):
        assert "mistyped" in problem(asked(api, text), 401, "unauthorized")["detail"]
    for text in ("nonsense", key.upper(), key.removeprefix("rota_")):
        assert "not known" in problem(asked(api, text), 401, "unauthorized")["detail"]


def test_nothing_is_shown_without_the_secret(api: Api) -> None:
    """Otherwise ids, which logs show, would show which keys there were, and whether they were revoked."""
    revoked = made(api, "tasks:read")
    api.delete(f"/v1/keys/{revoked['id']}")
    live = made(api, "tasks:read")

    for id in (revoked["id"], live["id"], UNKNOWN):
        refused = asked(api, new_key(KeyId(id)).text)
        assert problem(refused, 401, "unauthorized")["detail"] == "This key is not known."


def test_an_expired_key_is_reported_as_expired(api: Api) -> None:
    key = made(api, "tasks:read", expires_at=later(api, seconds=1))

    assert asked(api, key["key"]).status_code == 200
    eventually(lambda: asked(api, key["key"]).status_code == 401)
    assert "expired" in problem(asked(api, key["key"]), 401, "unauthorized")["detail"]
    assert api.read(f"/v1/keys/{key['id']}")["status"] == "expired"
    problem(api.post(f"/v1/keys/{key['id']}/rotate"), 409, "wrong-status")


def test_a_revoked_key_is_refused_at_once_and_reported_as_revoked(api: Api) -> None:
    key = made(api, "admin")

    answer = client(api, key["key"]).delete(f"/v1/keys/{key['id']}")

    assert answer.status_code == 204
    assert "revoked" in problem(asked(api, key["key"]), 401, "unauthorized")["detail"]
    read = api.read(f"/v1/keys/{key['id']}")
    assert (read["status"], read["revoked_by"]) == ("revoked", f"key:{key['id']}")
    assert api.delete(f"/v1/keys/{key['id']}").status_code == 204
    again = api.read(f"/v1/keys/{key['id']}")
    # The use of a key is stored in the background.
    assert again | {"last_used_at": None} == read | {"last_used_at": None}
    problem(api.post(f"/v1/keys/{key['id']}/rotate"), 409, "wrong-status")


def test_a_rotated_key_is_accepted_with_both_secrets_for_the_overlap(api: Api) -> None:
    key = made(api, "tasks:read")

    answer = api.post(f"/v1/keys/{key['id']}/rotate", json={"overlap": 1})

    rotated = answer.json()
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert rotated["id"] == key["id"]
    assert rotated["key"] != key["key"]
    assert rotated["previous_until"] > rotated["rotated_at"]
    assert asked(api, rotated["key"]).status_code == 200
    eventually(lambda: asked(api, key["key"]).status_code == 401)
    assert "rotated" in problem(asked(api, key["key"]), 401, "unauthorized")["detail"]
    assert asked(api, rotated["key"]).status_code == 200


def test_a_rotation_can_extend_a_key_and_otherwise_lets_it_expire_as_before(api: Api) -> None:
    key = made(api, "tasks:read", expires_at=later(api, days=1))
    ahead = later(api, days=90)

    assert api.post(f"/v1/keys/{key['id']}/rotate").json()["expires_at"] == key["expires_at"]
    extended = api.post(f"/v1/keys/{key['id']}/rotate", json={"expires_at": ahead}).json()
    assert extended["expires_at"] == ahead
    refused = api.post(f"/v1/keys/{key['id']}/rotate", json={"overlap": "31d"})
    assert pointers(refused) == ["/overlap"]


def test_the_replies_to_two_keys_are_independent(api: Api) -> None:
    keys = [made(api, "tasks:write")["key"] for _ in range(2)]
    task = {"handler": "echo", "schedule": {"type": "manual"}}

    names = [
        api.post("/v1/tasks", json=task, headers=bearer(key) | {"Idempotency-Key": "same"}).json()
        for key in keys
    ]

    assert names[0]["name"] != names[1]["name"]


def test_the_use_of_a_key_is_stored_in_the_background(api: Api) -> None:
    key = made(api, "tasks:read")
    assert key["last_used_at"] is None

    asked(api, key["key"])

    read = eventually(lambda: api.read(f"/v1/keys/{key['id']}")["last_used_at"])
    assert read >= key["created_at"]


def test_readyz_shows_details_to_keys_only(api: Api) -> None:
    key = made(api, "tasks:read")

    assert "firing_pass_age" in asked(api, key["key"], "/readyz").json()
    api.delete(f"/v1/keys/{key['id']}")
    assert asked(api, key["key"], "/readyz").json() == {"status": "ok"}


# ------------------------------------------------------------------------------------------------ without a key
@pytest.fixture
def open_service(migrated_database_url: str) -> Iterator[Api]:
    """A service on loopback without any key."""
    with serving(migrated_database_url) as service:
        yield service


def test_beyond_loopback_a_key_is_needed_although_there_is_none(
    migrated_database_url: str,
) -> None:
    with serving(migrated_database_url, host="0.0.0.0") as service:
        problem(service.get("/v1/tasks"), 401, "unauthorized")
        assert service.get("/healthz").status_code == 200


def test_where_no_key_is_needed_none_is_made(open_service: Api) -> None:
    refused = open_service.post("/v1/keys", json={"name": "CI", "scopes": ["work"]})

    assert "rota key create" in problem(refused, 409, "first-key")["detail"]
    own = open_service.read("/v1/keys/self")
    assert (own["label"], own["scopes"]) == ("local", ["admin"])
