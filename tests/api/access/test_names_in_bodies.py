"""Names in bodies: a key that is limited to `ours-` names no task of others, and learns nothing of them by trying.

Which fields hold names is read from the schemas that the API documents, so that a new one is noticed.
"""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from rota.domain.access.names import NameLimit
from rota.domain.primitives.texts.names import NAME_PATTERN, NAME_PREFIX_PATTERN
from rota.domain.secrets.names import TASK_PATTERN
from tests.api.access.clients import OURS, TEAM, client, headers_of, shared
from tests.api.service import MANUAL, Api, pointers, problem
from tests.domain.access.test_named import POINTERS, WITH_NAME, ready
from tests.support.named_fields import Path, named_fields

TEAM_KEY = headers_of(client(*TEAM, tasks=OURS, queues=NameLimit(("ours-", "default"))))
TASK: dict[str, Any] = {"handler": "echo", "schedule": MANUAL}
DEFINITION = set(WITH_NAME)
#: The request bodies with fields that hold names, and these fields.
BODIES: dict[str, set[Path]] = {
    "POST /v1/tasks": {("name",), *DEFINITION},
    "PUT /v1/tasks/{name}": {("name",), *DEFINITION},
    "POST /v1/tasks/batch": {("items", "*", *path) for path in {("name",), *DEFINITION}},
    **{f"POST /v1/tasks/{verb}": {("selector", "name_prefix"), ("selector", "queue", "*")}
       for verb in ("pause", "resume", "cancel", "delete", "run")},
    # A selector only narrows: it matches nothing of other teams.
    **{f"POST /v1/runs/{verb}": {("selector", "task", "*")} for verb in ("rerun", "cancel", "delete")},
    "PUT /v1/secrets/{name}": {("tasks", "*")},
    # These repeat the name in the path.
    "PUT /v1/queues/{name}": {("name",)},
    # A hold holds no other tasks than its key may see, whatever the queues that it names.
    "PUT /v1/holds/{name}": {("name",), ("selector", "name_prefix"), ("selector", "queues", "*")},
    "PUT /v1/calendars/{name}": {("name",)},
    # Nothing is looked up for a preview: `jitter` and `flex` depend on the name, and `after` has no fire times.
    "POST /v1/schedules/preview": {("name",), ("schedule", "tasks", "*")},
    # For administrators, who are not limited.
    "PUT /v1/handlers/{name}": {("name",)},
    "POST /v1/keys": {("tasks", "*"), ("queues", "*")},
}  # fmt: skip


@pytest.fixture(scope="module")
def api(another_database: Callable[[str], str]) -> Iterator[Api]:
    with shared(another_database("sqlite")) as made:
        made.task("theirs-there", handler="echo", schedule=MANUAL)
        yield made


def test_every_body_with_a_field_that_holds_a_name_is_known(api: Api) -> None:
    document = api.read("/openapi.json")
    found = {
        f"{method.upper()} {path}": named_fields(schema | {"components": document["components"]},
                                                  NAME_PATTERN, NAME_PREFIX_PATTERN, TASK_PATTERN)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        for schema in schemas_of(operation)
    }  # fmt: skip

    assert {body: fields for body, fields in found.items() if fields} == BODIES


def schemas_of(operation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the JSON Schema of the body of an operation, if it has one."""
    content = operation.get("requestBody", {}).get("content", {})
    yield from (each["schema"] for kind, each in content.items() if kind == "application/json")


def by_post(api: Api, **fields: Any) -> httpx.Response:
    return api.post("/v1/tasks", json=TASK | fields | {"name": "ours-new"}, headers=TEAM_KEY)


def by_put(api: Api, **fields: Any) -> httpx.Response:
    return api.put("/v1/tasks/ours-new", json=TASK | fields, headers=TEAM_KEY)


def by_patch(api: Api, **fields: Any) -> httpx.Response:
    api.task("ours-old", handler="echo", schedule=MANUAL)
    return api.patch("/v1/tasks/ours-old", json=fields, headers=TEAM_KEY)


def by_batch(api: Api, **fields: Any) -> httpx.Response:
    items = [TASK | {"name": "ours-fine"}, TASK | fields | {"name": "ours-new"}]
    return api.post("/v1/tasks/batch", json={"items": items}, headers=TEAM_KEY)


WAYS = {by_post: "", by_put: "", by_patch: "", by_batch: "/items/1"}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: str(way.__name__))
@pytest.mark.parametrize("path", WITH_NAME, ids=POINTERS.get)
def test_a_name_of_others_is_refused_whether_or_not_there_is_such_a_task(
    api: Api, path: Path, way: Callable[..., httpx.Response]
) -> None:
    there = way(api, **WITH_NAME[path]("theirs-there"))
    missing = way(api, **WITH_NAME[path]("theirs-none"))

    assert problem(there, 422, "invalid")["errors"] == missing.json()["errors"]
    assert there.json() | {"request_id": 0} == missing.json() | {"request_id": 0}
    assert pointers(there) == [WAYS[way] + POINTERS[path]]
    assert api.names("name_prefix=ours-new") == api.names("name_prefix=ours-fine") == []


def test_names_of_its_own_are_taken_in_every_field(api: Api) -> None:
    api.task("ours-first")
    fields = {
        name: value for path in WITH_NAME for name, value in WITH_NAME[path]("ours-first").items()
    }

    made = api.post("/v1/tasks", json=TASK | fields | {"name": "ours-all"}, headers=TEAM_KEY)

    assert made.status_code == 201, made.text
    assert {path[0] for path in WITH_NAME} == fields.keys()


def test_a_task_of_others_cannot_be_registered_whether_or_not_there_is_one(api: Api) -> None:
    answers = [
        api.post(f"/v1/tasks?on_conflict={rule}", json=TASK | {"name": name}, headers=TEAM_KEY)
        for name in ("theirs-there", "theirs-none")
        for rule in ("reject", "keep", "update", "replace")
    ]

    assert {answer.status_code for answer in answers} == {422}
    assert len({str(answer.json() | {"request_id": 0}) for answer in answers}) == 1
    assert pointers(answers[0]) == ["/name"]
    assert answers[0].json()["detail"] == (
        "/name: this key may only use a task whose name begins with 'ours-'."
    )


@pytest.mark.parametrize("handler", ["echo", "greet"])
def test_a_task_without_a_name_gets_one_that_the_key_may_use(api: Api, handler: str) -> None:
    body = {"handler": handler, "schedule": MANUAL, "input": {"name": "Ada"}}

    named = api.post("/v1/tasks", json=body, headers=TEAM_KEY)
    several = api.post("/v1/tasks/batch", json={"items": [body, body]}, headers=TEAM_KEY)

    names = [named.json()["name"], *several.json()["names"]]
    assert len(set(names)) == 3
    assert all(name.startswith(f"ours-{handler}-") for name in names)


def test_every_name_of_others_in_a_body_is_pointed_at(api: Api) -> None:
    answer = by_put(
        api,
        kv_grants=["ours-1", "theirs-1", "theirs-2"],
        constraints=[ready("ours-1"), ready("theirs-1") | {"name": "two"}],
        on_late={"task": "ops", "after": 60},
        queue="mail",
    )

    assert sorted(map(str, pointers(answer))) == [
        "/constraints/1/task",
        "/kv_grants/1",
        "/kv_grants/2",
        "/on_late/task",
        "/queue",
    ]


def test_what_an_administrator_has_set_up_between_teams_stays(api: Api) -> None:
    links = {
        "schedule": {"type": "after", "tasks": ["theirs-there"]},
        "constraints": [ready("theirs-there")],
        "on_failure": {"task": "theirs-there"},
    }
    api.task("ours-linked", **links)
    read = api.get("/v1/tasks/ours-linked", headers=TEAM_KEY).json()

    again = api.put("/v1/tasks/ours-linked", json=read | {"description": "new"}, headers=TEAM_KEY)
    patched = api.patch("/v1/tasks/ours-linked", json={"priority": 5}, headers=TEAM_KEY)
    spied = api.patch(
        "/v1/tasks/ours-linked",
        json={"constraints": [ready("theirs-there", at_least=5)]},
        headers=TEAM_KEY,
    )
    more = api.patch("/v1/tasks/ours-linked", json={"on_failure": {"after": 3}}, headers=TEAM_KEY)

    assert (again.status_code, patched.status_code) == (200, 200), (again.text, patched.text)
    assert pointers(spied) == ["/constraints/0/task"]
    assert pointers(more) == ["/on_failure"]
    assert "with this patch, task of the task is wrong" in more.text


def test_warnings_say_nothing_of_tasks_of_others(api: Api) -> None:
    api.task("theirs-paused", paused=True)
    api.task("ours-paused", paused=True)
    body = {"schedule": {"type": "after", "tasks": ["theirs-paused", "ours-paused"]}}
    api.task("ours-after", **body)

    changed = api.patch("/v1/tasks/ours-after", json={"priority": 1}, headers=TEAM_KEY)

    (warning,) = (each for each in changed.json()["warnings"] if "predecessor" in each["code"])
    assert warning["code"] == "predecessor_paused"
    assert "ours-paused" in warning["message"]
    assert "theirs" not in str(changed.json()["warnings"])


def test_a_cycle_is_refused_without_the_names_of_others_in_it(api: Api) -> None:
    def after(*tasks: str) -> dict[str, Any]:
        return {"schedule": {"type": "after", "tasks": list(tasks)}}

    api.task("ours-1")
    api.task("theirs-2", **after("ours-1"))
    api.task("ours-3", **after("theirs-2"))

    answer = api.patch("/v1/tasks/ours-1", json=after("ours-3"), headers=TEAM_KEY)

    assert pointers(answer) == ["/schedule/tasks/0"]
    assert answer.json()["detail"] == (
        "/schedule/tasks/0: this creates a cycle: 'ours-1' after 'ours-3' after a task that this key may not see "
        "after 'ours-1'."
    )


def test_a_key_without_a_limit_may_use_all_names(api: Api) -> None:
    unlimited = headers_of(client(*TEAM))
    fields = {
        name: value for path in WITH_NAME for name, value in WITH_NAME[path]("theirs-there").items()
    }

    made = api.put("/v1/tasks/any", json=TASK | fields, headers=unlimited)

    assert made.status_code == 201, made.text
