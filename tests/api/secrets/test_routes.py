"""Named secrets over HTTP: written and rotated, bound to servers and tasks, never returned."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import select, update

from rota.db import tables
from rota.db.engine import Database
from tests.api.marks import on_both
from tests.api.service import MANUAL, Api, pointers, problem, serving
from tests.api.test_encryption import NEW, OLD, SQLITE

VALUE = "hunter2-and-more"
NEXT = "hunter3-and-more"
ORIGIN = "https://api.example.com"
PATH = "/v1/secrets/crm"


@pytest.fixture
def api(migrated_database_url: str) -> Iterator[Api]:
    with serving(migrated_database_url, encryption_keys=(OLD,)) as api:
        yield api


@pytest.fixture(scope="module")
def refusing(another_database: Callable[[str], str]) -> Iterator[Api]:
    """The same for all tests of this file that store nothing."""
    with serving(another_database("sqlite"), encryption_keys=(OLD,)) as api:
        yield api


def body(**fields: Any) -> dict[str, Any]:
    return {"value": VALUE, "origins": [ORIGIN]} | fields


def target(header: str = "Bearer {{ secret.crm }}", url: str = ORIGIN) -> dict[str, Any]:
    headers = {"Authorization": header}
    return {
        "handler": "http",
        "target": {"url": f"{url}/jobs", "headers": headers},
        "schedule": MANUAL,
    }


@on_both
def test_a_secret_is_declared_read_listed_and_removed_without_its_value(api: Api) -> None:
    made = api.put(PATH, json=body(tasks=["sync-*", "sync-*"], description="Our CRM"))
    read = api.get(PATH)
    listed = api.get("/v1/secrets")
    removed = api.delete(PATH)

    assert made.status_code == 201
    assert read.json() == made.json() == listed.json()["items"][0]
    assert read.headers["etag"] == made.headers["etag"]
    shown = read.json()
    assert {name: shown[name] for name in ("name", "source", "origins", "tasks", "version")} == {
        "name": "crm",
        "source": "stored",
        "origins": [ORIGIN],
        "tasks": ["sync-*"],
        "version": 1,
    }
    assert removed.status_code == 204
    problem(api.get(PATH), 404, "not-found")
    problem(api.delete(PATH), 404, "not-found")
    assert [each.text for each in (made, read, listed) if VALUE in each.text] == []


@SQLITE
def test_the_same_declaration_changes_nothing_and_a_response_can_be_sent_back(api: Api) -> None:
    first = api.put(PATH, json=body())

    again = api.put(PATH, json=body())
    sent_back = api.put(PATH, json=first.json())
    other = api.put(PATH, json=body(value=NEXT))

    assert again.json() == sent_back.json() == first.json()
    assert (other.status_code, other.json()["version"]) == (200, 2)
    assert other.headers["etag"] != first.headers["etag"]


@SQLITE
def test_conditions_of_a_write_are_those_of_tasks(api: Api) -> None:
    new = {"if-none-match": "*"}
    made = api.put(PATH, json=body(), headers=new)
    tag = {"if-match": made.headers["etag"]}
    api.put(PATH, json=body(description="changed"), headers=tag)

    problem(api.put(PATH, json=body(), headers=new), 412, "precondition-failed")
    problem(api.put(PATH, json=body(), headers=tag), 412, "precondition-failed")
    problem(
        api.post(f"{PATH}/rotate", json={"value": NEXT}, headers=tag), 412, "precondition-failed"
    )
    problem(api.delete(PATH, headers=tag), 412, "precondition-failed")
    problem(api.put("/v1/secrets/x", json=body(), headers=tag), 412, "precondition-failed")


@SQLITE
def test_who_does_not_know_a_value_cannot_have_it_sent_elsewhere(api: Api) -> None:
    api.put(PATH, json=body(origins=[ORIGIN, "https://b.example"], tasks=["a-*"]))

    for more in (
        {"origins": [ORIGIN, "https://evil.example"]},
        {"origins": [ORIGIN], "tasks": ["*"]},
    ):
        refused = api.put(PATH, json={"tasks": ["a-*"]} | more)
        problem(refused, 422, "invalid")
        assert pointers(refused) == ["/value"]
    less = api.put(PATH, json={"origins": [ORIGIN], "tasks": ["a-b*"]})

    assert less.json()["origins"] == [ORIGIN]


def test_a_new_secret_needs_a_value(refusing: Api) -> None:
    refused = refusing.put(PATH, json={"origins": [ORIGIN]})

    problem(refused, 422, "invalid")
    assert pointers(refused) == ["/value"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"value": VALUE[:7]},
        {"value": VALUE * 2_000},
        {"value": f"{VALUE}\n"},
        {"value": f"{VALUE}\u0000"},
        {"value": [VALUE]},
        {"value": {"of": VALUE}},
        {"vaule": VALUE},
        {"origins": [f"https://user:{VALUE}@api.example.com"]},
        {"origins": VALUE},
        {"origins": {VALUE: 1}},
        {"origins": [VALUE]},
        {"tasks": [f"{VALUE} {VALUE}"]},
        {"tasks": VALUE},
        {"description": [VALUE]},
        {"name": f"{VALUE} "},
    ],
)
def test_no_refusal_quotes_what_was_sent(refusing: Api, wrong: dict[str, Any]) -> None:
    refused = [
        refusing.put(PATH, json=body() | wrong),
        refusing.post(f"{PATH}/rotate", json={"value": VALUE, "overlap": VALUE} | wrong),
    ]

    assert [each.status_code for each in refused] in ([422, 422], [400, 400])
    assert [each.text for each in refused if VALUE[:7] in each.text] == []


def test_text_that_is_no_json_is_not_quoted(refusing: Api) -> None:
    headers = {"content-type": "application/json"}
    for text in (f'{{"value": "{VALUE}", }}', f'{{"value": {VALUE}}}', f'{{"value": "{VALUE}'):
        refused = refusing.put(PATH, content=text, headers=headers)
        problem(refused, 400, "malformed-json")
        assert VALUE[:7] not in refused.text


@SQLITE
def test_rotation_keeps_the_value_before_for_the_overlap(
    api: Api, migrated_database_url: str
) -> None:
    api.put(PATH, json=body())

    rotated = api.post(f"{PATH}/rotate", json={"value": NEXT, "overlap": "1h"})
    again = api.post(f"{PATH}/rotate", json={"value": NEXT, "overlap": "1h"})
    at_once = api.post(f"{PATH}/rotate", json={"value": VALUE, "overlap": 0})

    assert rotated.json()["version"] == 2
    assert rotated.json()["previous_until"] > rotated.json()["rotated_at"]
    assert again.json() == rotated.json()
    assert at_once.json()["previous_until"] is None
    problem(api.post("/v1/secrets/x/rotate", json={"value": NEXT}), 404, "not-found")
    too_long = api.post(f"{PATH}/rotate", json={"value": NEXT, "overlap": "31d"})
    assert pointers(too_long) == ["/overlap"]


@SQLITE
def test_without_keys_nothing_is_stored_and_the_answer_says_what_to_set(
    migrated_database_url: str,
) -> None:
    with serving(migrated_database_url) as api:
        for refused in (
            api.put(PATH, json=body()),
            api.post(f"{PATH}/rotate", json={"value": NEXT}),
        ):
            detail = problem(refused, 409, "no-encryption-keys")["detail"]
            assert "ROTA_ENCRYPTION_KEYS" in detail
            assert "ROTA_SECRET_CRM_ORIGINS" in detail


@SQLITE
def test_pages_go_by_name_over_stored_ones_and_those_of_the_environment(
    migrated_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROTA_SECRET_B_2", VALUE)
    monkeypatch.setenv("ROTA_SECRET_B_2_ORIGINS", ORIGIN)
    with serving(migrated_database_url, encryption_keys=(OLD,)) as api:
        for name in ("c", "a"):
            api.put(f"/v1/secrets/{name}", json=body())
        pages, path = [], "/v1/secrets?limit=1"
        while path:
            page = api.read(path)
            pages += page["items"]
            path = page["next_cursor"] and f"/v1/secrets?limit=1&cursor={page['next_cursor']}"

        assert [(each["name"], each["source"]) for each in pages] == [
            ("a", "stored"),
            ("b-2", "environment"),
            ("c", "stored"),
        ]
        for refused in (
            api.put("/v1/secrets/b-2", json=body()),
            api.post("/v1/secrets/b-2/rotate", json={"value": NEXT}),
            api.delete("/v1/secrets/b-2"),
        ):
            problem(refused, 409, "secret-from-environment")
        assert "etag" not in api.get("/v1/secrets/b-2").headers


@on_both
def test_a_registration_is_refused_that_would_send_a_secret_where_it_must_not_go(api: Api) -> None:
    api.put(PATH, json=body(tasks=["sync-*"]))
    there = "/target/headers/Authorization"
    wrong = {
        "sync-1": target("Bearer {{ secret.other }}"),
        "sync-2": target(url="https://evil.example"),
        "sync-3": target(url=f"{ORIGIN}:8443"),
        "mine": target(),
    }
    made = [api.put(f"/v1/tasks/{name}", json=given) for name, given in wrong.items()]
    made += [api.post("/v1/tasks", json=given | {"name": name}) for name, given in wrong.items()]
    for answer in made:
        problem(answer, 422, "unusable-secret")
        assert pointers(answer) == [there]

    assert api.put("/v1/tasks/sync-x", json=target()).status_code == 201
    items = [target() | {"name": "sync-y"}, target() | {"name": "no"}]
    batch = api.post("/v1/tasks/batch", json={"items": items})
    assert pointers(batch) == [f"/items/1{there}"]
    moved = api.patch("/v1/tasks/sync-x", json={"target": {"url": "https://evil.example/x"}})
    problem(moved, 422, "unusable-secret")


@on_both
def test_a_header_that_is_a_reference_is_shown_and_not_a_plain_secret(api: Api) -> None:
    api.put(PATH, json=body())
    made = api.put("/v1/tasks/t", json=target())
    mixed = api.put("/v1/tasks/u", json=target("tenant-7-key {{ secret.crm }}"))
    bad = api.put(
        "/v1/tasks/u",
        json=mixed.json() | {"target": mixed.json()["target"] | {"url": "https://b.example/"}},
    )

    assert made.json()["target"]["headers"] == {"Authorization": "Bearer {{ secret.crm }}"}
    assert "plain_secret" not in {each["code"] for each in made.json()["warnings"]}
    assert mixed.json()["target"]["headers"] == {"Authorization": "[redacted]"}
    assert bad.status_code == 422
    # Its header is sealed, and still refers to the secret.
    assert api.put("/v1/tasks/u", json=mixed.json()).json()["outcome"] == "unchanged"
    assert problem(api.delete(PATH), 409, "secret-in-use")["tasks"] == ["t", "u"]


@on_both
def test_a_secret_that_tasks_refer_to_is_removed_only_by_force(api: Api) -> None:
    api.put(PATH, json=body())
    api.put("/v1/tasks/t", json=target())
    api.put("/v1/tasks/other", json=target("Bearer no secret.crm"))

    refused = problem(api.delete(PATH), 409, "secret-in-use")

    assert (refused["tasks"], refused["count"]) == (["t"], 1)
    assert "'t'" in refused["detail"]
    assert api.delete(f"{PATH}?force=true").status_code == 204


@on_both
def test_a_run_whose_secret_is_gone_bound_elsewhere_or_tampered_with_sends_nothing(
    api: Api, migrated_database_url: str
) -> None:
    api.put(PATH, json=body(origins=["http://127.0.0.1:9", ORIGIN]))
    once = target(url="http://127.0.0.1:9") | {"retry": {"max_attempts": 1}}
    api.put("/v1/tasks/t", json=once)

    def error() -> dict[str, Any]:
        found: dict[str, Any] = api.ended(api.run("t"))["error"]
        assert VALUE not in str(found)
        return found

    def tampered(**columns: str) -> None:
        with api.app.state.services.database._database.writing.begin() as connection:
            connection.execute(update(tables.secret).values(**columns))

    assert error()["type"] == "http.connect"  # nobody listens there
    origins = '["http://127.0.0.1:9"]'
    tampered(origins=origins)
    assert error()["type"] == "sealed"
    tampered(origins=f'["http://127.0.0.1:9","{ORIGIN}"]')
    assert error()["type"] == "http.connect"
    tampered(tasks='["*","t"]')
    assert error()["type"] == "sealed"
    api.put(PATH, json=body())
    found = error()
    assert found["type"] == "secret.not_permitted"
    assert found["message"].startswith(
        "/target/headers/Authorization: the secret 'crm' may be sent to"
    )
    api.delete(f"{PATH}?force=true")
    assert error()["type"] == "secret.missing"


@SQLITE
def test_a_secret_survives_a_change_of_the_keys(migrated_database_url: str) -> None:
    with serving(migrated_database_url, encryption_keys=(OLD,)) as api:
        api.put(PATH, json=body())
    with serving(
        migrated_database_url, encryption_keys=(NEW, OLD), maintenance_interval=0.05
    ) as api:
        api.portal.call(_until_sealed_with, api.app.state.services.database, "k2")
    with serving(migrated_database_url, encryption_keys=(NEW,)) as api:
        unchanged = api.put(PATH, json=body())

        assert (unchanged.status_code, unchanged.json()["version"]) == (200, 1)


async def _until_sealed_with(database: Database, key_id: str) -> None:
    from tests.support.factories import eventually

    def sealed() -> bool:
        with database.read() as connection:
            return set(connection.execute(select(tables.secret.c.sealed_with)).scalars()) == {
                key_id
            }

    eventually(sealed)
