"""PUT, GET, PATCH and DELETE of one task: preconditions, what is unchanged, merge patches."""

from typing import Any

import pytest

from tests.api.handlers import wait_entered
from tests.api.marks import on_both
from tests.api.service import MANUAL, YEARLY, Api, pointers, problem

pytestmark = on_both

BODY = {"handler": "echo", "input": {"a": 1}, "schedule": YEARLY}
SECRETS = {
    "Authorization": "Bearer 1234567890",
    "X-Api-Key": "k-1234567890",
    "Cookie": "session=1234567890",
    "X-Auth-Token": "t-1234567890",
    "Client-Secret": "s-1234567890",
}


def put(api: Api, body: dict[str, Any], **headers: str) -> Any:
    return api.put("/v1/tasks/t", json=body, headers=_named(headers))


def patch(api: Api, body: Any, **headers: str) -> Any:
    return api.patch("/v1/tasks/t", json=body, headers=_named(headers))


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def etag_of(api: Api) -> str:
    return api.get("/v1/tasks/t").headers["etag"]


# --------------------------------------------------------------------------------------------------------- PUT
def test_a_declaration_creates_then_updates_then_changes_nothing(api: Api) -> None:
    created = put(api, BODY)
    updated = put(api, BODY | {"priority": 3})
    unchanged = put(api, BODY | {"priority": 3})

    outcomes = [answer.json()["outcome"] for answer in (created, updated, unchanged)]
    assert outcomes == ["created", "updated", "unchanged"]
    assert [answer.status_code for answer in (created, updated, unchanged)] == [201, 200, 200]
    assert created.headers["location"] == "/v1/tasks/t"
    assert [answer.json()["generation"] for answer in (created, updated, unchanged)] == [1, 2, 2]
    assert unchanged.headers["etag"] == updated.headers["etag"] != created.headers["etag"]


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"schedule": {"type": "once", "delay": "2h"}},
        {"schedule": {"type": "once", "at": "2999-01-01T00:00:00", "timezone": "Asia/Tokyo"}},
        {"schedule": {"type": "interval", "every": "15m"}},
        {"schedule": MANUAL, "paused": True},
        {
            "handler": "greet",
            "input": {"name": "Ada"},
            "description": "ünïcode 🎉",
            "tags": ["a/b"],
        },
        {"retry": {"max_attempts": 1, "max_elapsed": "2h"}, "retention": {"runs": 1, "age": 1}},
        {"input": {"float": 5.0, "int": 5, "big": 2**53 + 1, "deep": [[[None, True]]]}},
        {"input": None},
        {"handler": "http", "target": {"url": "http://127.0.0.1:9/", "headers": SECRETS}},
        {
            "handler": "http",
            "target": {"url": "http://127.0.0.1:9/", "body": [1], "query": {"a": 1}},
        },
    ],
)
def test_a_read_task_can_be_put_back_and_changes_nothing(api: Api, members: dict[str, Any]) -> None:
    put(api, BODY | members)
    read = api.get("/v1/tasks/t")

    answer = put(api, read.json(), if_match=read.headers["etag"])
    reply = put(api, answer.json())  # and what a registration returned, too

    for put_back in (answer, reply):
        assert (put_back.status_code, put_back.json()["outcome"]) == (200, "unchanged")
    again = api.get("/v1/tasks/t")
    assert again.json() == read.json()
    assert again.headers["etag"] == read.headers["etag"]


def test_secret_headers_are_never_returned_and_survive_being_put_back(api: Api) -> None:
    target = {"url": "http://127.0.0.1:9/", "headers": SECRETS | {"X-Plain": "seen"}}
    answers = [put(api, BODY | {"handler": "http", "target": target})]

    answers.append(put(api, answers[0].json() | {"priority": 1}))
    answers.append(patch(api, {"target": {"headers": {"X-Plain": "other"}}}))

    answers.append(api.get("/v1/tasks"))
    for answer in answers:
        assert "1234567890" not in answer.text
    assert answers[2].json()["target"]["headers"] == dict.fromkeys(SECRETS, "[redacted]") | {
        "X-Plain": "other"
    }
    # Sent in clear, they are what is stored: nothing changes.
    kept = {"headers": SECRETS | {"X-Plain": "other"}}
    assert patch(api, {"target": kept}).json()["outcome"] == "unchanged"


def test_a_redacted_header_without_a_stored_value_is_refused(api: Api) -> None:
    target = {"url": "http://127.0.0.1:9/", "headers": {"X/Api~Key": "[redacted]"}}
    target["headers"] = {"X-Api-Key": "[redacted]"}

    refused = put(api, BODY | {"handler": "http", "target": target})

    problem(refused, 422, "invalid")
    assert pointers(refused) == ["/target/headers/X-Api-Key"]
    assert api.names() == []


def test_the_name_in_the_body_must_equal_that_of_the_path(api: Api) -> None:
    assert put(api, BODY | {"name": "t"}).status_code == 201

    refused = put(api, BODY | {"name": "u"})

    problem(refused, 422, "invalid")
    assert pointers(refused) == ["/name"]


def test_if_none_match_creates_only(api: Api) -> None:
    assert put(api, BODY, if_none_match="*").status_code == 201

    refused = problem(put(api, BODY, if_none_match="*"), 412, "precondition-failed")

    assert refused["task"]["generation"] == 1


def test_if_match_allows_a_change_only_of_the_version_read(api: Api) -> None:
    put(api, BODY)
    read = etag_of(api)
    assert put(api, BODY | {"priority": 1}, if_match=read).status_code == 200

    refused = problem(put(api, BODY | {"priority": 2}, if_match=read), 412, "precondition-failed")

    assert refused["task"]["generation"] == 2
    assert api.read("/v1/tasks/t")["priority"] == 1


def test_if_match_on_an_unknown_task_is_412(api: Api) -> None:
    put(api, BODY)
    read = etag_of(api)
    api.delete("/v1/tasks/t")

    problem(put(api, BODY, if_match=read), 412, "precondition-failed")
    assert api.names() == []


def test_if_match_refuses_the_tag_of_an_earlier_task_of_the_same_name(api: Api) -> None:
    put(api, BODY)
    before = etag_of(api)
    api.delete("/v1/tasks/t")
    put(api, BODY)

    problem(put(api, BODY, if_match=before), 412, "precondition-failed")


@pytest.mark.parametrize("tag", ["nonsense", '"x.1"', '"1"', 'W/"1"', '""'])
def test_a_foreign_tag_matches_nothing(api: Api, tag: str) -> None:
    put(api, BODY)

    problem(put(api, BODY, if_match=tag), 412, "precondition-failed")


def test_any_tag_matches_every_existing_task_and_no_other(api: Api) -> None:
    problem(put(api, BODY, if_match="*"), 412, "precondition-failed")
    put(api, BODY)

    assert put(api, BODY | {"priority": 1}, if_match=" * ").status_code == 200
    problem(put(api, BODY, if_none_match="*"), 412, "precondition-failed")


def test_one_tag_of_a_list_is_enough(api: Api) -> None:
    put(api, BODY)
    read = etag_of(api)

    made = put(api, BODY | {"priority": 1}, if_match=f'"a,b", , {read}')

    assert made.status_code == 200
    problem(put(api, BODY, if_match=f'{read}, "a"'), 412, "precondition-failed")


def test_a_weak_tag_never_satisfies_if_match_but_does_satisfy_if_none_match(api: Api) -> None:
    put(api, BODY)
    weak = f"W/{etag_of(api)}"

    problem(put(api, BODY | {"priority": 1}, if_match=weak), 412, "precondition-failed")
    problem(put(api, BODY | {"priority": 1}, if_none_match=weak), 412, "precondition-failed")
    assert api.read("/v1/tasks/t")["generation"] == 1


def test_if_none_match_protects_the_tags_of_a_list(api: Api) -> None:
    put(api, BODY)
    read = etag_of(api)

    problem(put(api, BODY, if_none_match=f'"a", {read}'), 412, "precondition-failed")
    assert put(api, BODY | {"priority": 1}, if_none_match='"a", "b"').status_code == 200
    assert put(api, BODY | {"priority": 2}, if_none_match=read).status_code == 200


@pytest.mark.parametrize("tags", ["nonsense", '"a" "b"', '"a', "**", "*, *", "", ","])
def test_a_malformed_list_of_tags_changes_nothing(api: Api, tags: str) -> None:
    put(api, BODY)

    refused = put(api, BODY | {"priority": 1}, if_none_match=tags)

    problem(refused, 422, "invalid-header")
    assert pointers(refused) == ["If-None-Match"]


@pytest.mark.parametrize("action", ["pause", "resume", "cancel", "patch", "delete"])
def test_every_change_accepts_if_match(api: Api, action: str) -> None:
    put(api, BODY)
    old = etag_of(api)
    put(api, BODY | {"priority": 1})

    def change(tag: str) -> Any:
        headers = {"If-Match": tag}
        match action:
            case "patch":
                return api.patch("/v1/tasks/t", json={"priority": 2}, headers=headers)
            case "delete":
                return api.delete("/v1/tasks/t", headers=headers)
            case _:
                return api.post(f"/v1/tasks/t/{action}", headers=headers)

    for wrong in (old, f"W/{etag_of(api)}", f'"a", {old}'):
        problem(change(wrong), 412, "precondition-failed")
    assert change(f"{old}, {etag_of(api)}").status_code in {200, 204}


@pytest.mark.parametrize("action", ["pause", "resume", "cancel", "patch", "delete"])
def test_every_change_accepts_conditions_with_any_tag(api: Api, action: str) -> None:
    put(api, BODY)
    method, path = {"patch": ("PATCH", ""), "delete": ("DELETE", "")}.get(
        action, ("POST", f"/{action}")
    )
    options: dict[str, Any] = {"json": {"priority": 2}} if action == "patch" else {}

    refused = api.call(method, f"/v1/tasks/t{path}", headers={"If-None-Match": "*"}, **options)
    made = api.call(method, f"/v1/tasks/t{path}", headers={"If-Match": "*"}, **options)

    problem(refused, 412, "precondition-failed")
    assert made.status_code in {200, 204}


# --------------------------------------------------------------------------------------------------------- GET
def test_an_unknown_task_is_404_everywhere(api: Api) -> None:
    for method, path in (
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/pause"),
        ("POST", "/resume"),
        ("POST", "/cancel"),
        ("POST", "/run"),
        ("GET", "/runs"),
        ("GET", "/upcoming"),
        ("GET", "/kv"),
        ("GET", "/kv/a"),
        ("DELETE", "/kv/a"),
    ):
        options: dict[str, Any] = {"json": {}} if method == "PATCH" else {}
        problem(api.call(method, f"/v1/tasks/gone{path}", **options), 404, "not-found")
    problem(api.put("/v1/tasks/gone/kv/a", json={"value": 1}), 404, "not-found")


def test_a_task_shows_its_last_run(api: Api) -> None:
    api.task("t", input={"a": 1})
    ended = api.ended(api.run("t"))

    task = api.read("/v1/tasks/t")

    members = ("id", "status", "scheduled_for", "finished_at")
    assert task["last_run"] == {member: ended[member] for member in members}
    assert task["last_success_at"] == ended["finished_at"]
    assert task["consecutive_failures"] == 0


def test_failures_in_a_row_are_counted(api: Api) -> None:
    api.task("t", handler="refuse")

    for _ in range(2):
        api.ended(api.run("t"))
    failed = api.read("/v1/tasks/t")
    api.task("t")
    api.ended(api.run("t"))

    assert (failed["consecutive_failures"], failed["last_success_at"]) == (2, None)
    assert failed["last_run"]["status"] == "failed"
    assert api.read("/v1/tasks/t")["consecutive_failures"] == 0


# ------------------------------------------------------------------------------------------------------- PATCH
def test_a_patch_changes_the_members_that_it_has(api: Api) -> None:
    before = api.task("t", input={"a": 1, "b": {"c": 2, "d": 3}}, tags=["x"])

    answer = patch(api, {"input": {"b": {"c": 9, "d": None}, "e": []}, "tags": ["y"]})

    made = answer.json()
    assert (answer.status_code, made["outcome"], made["generation"]) == (200, "updated", 2)
    assert made["input"] == {"a": 1, "b": {"c": 9}, "e": []}
    assert made["tags"] == ["y"]
    unchanged = before.keys() - {"input", "tags", "generation", "updated_at"}
    assert {member: made[member] for member in unchanged} == {
        member: before[member] for member in unchanged
    }


def test_null_resets_a_member_to_its_default(api: Api) -> None:
    members: dict[str, Any] = {"handler": "greet", "input": {"name": "Ada"}, "timeout": 60}
    api.task("t", **members, priority=5, retry={"max_attempts": 9, "jitter": False})

    made = patch(api, {"priority": None, "timeout": None, "retry": {"max_attempts": None}}).json()

    assert (made["priority"], made["timeout"]) == (0, 7)
    assert (made["retry"]["max_attempts"], made["retry"]["jitter"]) == (3, False)


def test_a_patch_of_the_schedule_is_merged_too(api: Api) -> None:
    api.task("t", schedule={"type": "cron", "expression": "0 9 * * *", "timezone": "Asia/Tokyo"})

    made = patch(api, {"schedule": {"expression": "0 10 * * *"}}).json()

    assert made["schedule"]["expression"] == "0 10 * * *"
    assert made["schedule"]["timezone"] == "Asia/Tokyo"
    assert made["next_fire_at"][11:19] == "01:00:00"


def test_a_patch_to_another_kind_of_schedule_replaces_it(api: Api) -> None:
    cron = {"type": "cron", "expression": "0 9 * * *", "timezone": "Asia/Tokyo", "jitter": 5}
    api.task("t", schedule=cron)

    made = patch(api, {"schedule": {"type": "interval", "every": "5m"}}).json()

    assert made["schedule"] == {"type": "interval", "every": 300, "mode": "fixed_rate"}
    back = patch(api, {"schedule": {"type": "cron", "expression": "0 9 * * *"}}).json()
    assert back["schedule"] == {"type": "cron", "expression": "0 9 * * *", "timezone": "UTC"}


def test_a_patch_that_names_the_present_kind_of_schedule_is_merged(api: Api) -> None:
    api.task("t", schedule={"type": "cron", "expression": "0 9 * * *", "timezone": "Asia/Tokyo"})

    made = patch(api, {"schedule": {"type": "cron", "expression": "0 10 * * *"}}).json()

    assert made["schedule"]["timezone"] == "Asia/Tokyo"


def test_an_error_of_a_schedule_of_another_kind_points_into_the_patch(api: Api) -> None:
    api.task("t", schedule={"type": "cron", "expression": "0 9 * * *"})

    refused = patch(api, {"schedule": {"type": "interval", "every": "5 minutes"}})

    problem(refused, 422, "invalid")
    assert pointers(refused) == ["/schedule/every"]


def test_a_default_does_not_limit_a_given_value(api: Api) -> None:
    made = api.task("t", retry={"initial_interval": "2h"})

    again = put(api, {"handler": "echo", "schedule": MANUAL, "retry": {"initial_interval": 7200}})
    back = put(api, made)
    patched = patch(api, {"retry": {"initial_interval": "3h"}}).json()
    refused = patch(api, {"retry": {"initial_interval": "3h", "max_interval": "1h"}})

    assert made["retry"]["max_interval"] == 7200
    assert (again.json()["outcome"], back.json()["outcome"]) == ("unchanged", "unchanged")
    assert (patched["retry"]["initial_interval"], patched["retry"]["max_interval"]) == (10800,) * 2
    problem(refused, 422, "invalid")
    assert set(pointers(refused)) == {"/retry/initial_interval", "/retry/max_interval"}


def test_an_empty_patch_changes_nothing(api: Api) -> None:
    before = api.task("t")

    assert patch(api, {}).json()["outcome"] == "unchanged"
    assert api.read("/v1/tasks/t") == before


def test_the_media_type_of_a_merge_patch_is_accepted(api: Api) -> None:
    api.task("t")
    headers = {"Content-Type": "application/merge-patch+json"}

    answer = api.patch("/v1/tasks/t", content=b'{"priority":4}', headers=headers)

    assert answer.json()["priority"] == 4


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"priority": "high"}, "/priority"),
        ({"schedule": {"every": "1 week"}}, "/schedule/every"),
        ({"schedule": None}, "/schedule"),
        ({"handler": None}, "/handler"),
        ({"handler": "nobody"}, "/handler"),
        ({"handler": "greet"}, "/input"),
        ({"unknown": 1}, "/unknown"),
        ({"status": "paused"}, "/status"),
        ({"name": "u"}, "/name"),
        ({"target": {"url": "http://x"}}, "/target"),
    ],
)
def test_a_patch_with_an_invalid_result_is_refused(api: Api, body: Any, pointer: str) -> None:
    api.task("t", schedule={"type": "interval", "every": 60})
    before = api.read("/v1/tasks/t")

    refused = patch(api, body)

    assert refused.status_code == 422
    assert pointer in pointers(refused)
    assert api.read("/v1/tasks/t") == before


@pytest.mark.parametrize("body", [[], "text", 7, None])
def test_a_patch_is_an_object(api: Api, body: Any) -> None:
    api.task("t")

    assert patch(api, body).status_code == 422


def test_parallel_patches_of_different_members_all_take_effect(api: Api) -> None:
    api.task("t")
    keys = [f"k{number}" for number in range(8)]

    calls = [("PATCH", "/v1/tasks/t", {"json": {"input": {key: 1}}}) for key in keys]
    answers = api.together(calls)

    assert {answer.status_code for answer in answers} == {200}
    assert api.read("/v1/tasks/t")["input"] == dict.fromkeys(keys, 1)


# ------------------------------------------------------------------------------------------------------ DELETE
def test_a_task_is_deleted_with_its_runs_and_kv_and_its_name_is_free(api: Api) -> None:
    before = api.task("t")
    ended = api.ended(api.run("t"))
    api.put("/v1/tasks/t/kv/a", json={"value": 1})

    answer = api.delete("/v1/tasks/t")

    assert (answer.status_code, answer.content) == (204, b"")
    problem(api.get("/v1/tasks/t"), 404, "not-found")
    problem(api.get(f"/v1/runs/{ended['id']}"), 404, "not-found")
    assert api.items("/v1/runs") == []
    after = api.task("t")
    assert after["id"] != before["id"]
    assert api.items("/v1/tasks/t/kv") == api.items("/v1/tasks/t/runs") == []


def test_deleting_a_task_that_runs_ends_its_run(api: Api) -> None:
    api.task("t", handler="hold")
    run = api.run("t")
    wait_entered("t")

    assert api.delete("/v1/tasks/t").status_code == 204

    problem(api.get(f"/v1/runs/{run['id']}?wait=5"), 404, "not-found")
    problem(api.delete("/v1/tasks/t"), 404, "not-found")


def test_a_patch_does_not_unpause_and_names_the_request_that_does(api: Api) -> None:
    api.task("t", paused=True)

    refused = patch(api, {"paused": False})

    problem(refused, 422, "invalid")
    assert pointers(refused) == ["/paused"]
    assert "/v1/tasks/t/resume" in refused.json()["detail"]


def test_a_patch_does_not_revive_a_cancelled_task(api: Api) -> None:
    api.task("t")
    api.post("/v1/tasks/t/cancel")

    problem(patch(api, {"description": "typo"}), 409, "wrong-status")

    assert api.read("/v1/tasks/t")["status"] == "cancelled"
