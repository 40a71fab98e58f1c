"""What a key that is limited to the tasks of a team can change: many tasks at a time, queues, leases, secrets."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rota.domain.access.names import UNLIMITED, NameLimit
from rota.domain.access.scopes import Scope
from tests.api.access.clients import OURS, TEAM, client, headers_of, shared
from tests.api.service import MANUAL, Api, pointers, problem
from tests.api.test_encryption import OLD

US = headers_of(client(*TEAM, tasks=OURS))
ORIGIN = "https://api.example.com"
SECRET = {"value": "hunter2-and-more", "origins": [ORIGIN], "tasks": ["ours-*"]}
ECHO: dict[str, Any] = {"handler": "echo", "schedule": MANUAL, "overlap_policy": "allow"}
WORK = ECHO | {"handler": "work"}


@pytest.fixture(scope="module")
def api(another_database: Callable[[str], str]) -> Iterator[Api]:
    with shared(another_database("sqlite"), encryption_keys=(OLD,)) as made:
        assert made.put("/v1/handlers/work", json={}).status_code == 201
        yield made


# --- many tasks at a time


@pytest.mark.parametrize("selector", [{"all": True}, {"tags": ["bulk"]}, {"name_prefix": "o"},
                                      {"name_prefix": "theirs-"}], ids=str)  # fmt: skip
@pytest.mark.parametrize("verb", ["pause", "resume", "cancel", "run", "delete"])
@pytest.mark.parametrize("dry_run", [True, False])
def test_a_selector_matches_only_tasks_that_the_key_covers(
    api: Api, verb: str, selector: dict[str, Any], dry_run: bool
) -> None:
    for name in ("ours-1", "ours-2", "theirs-1"):
        api.task(name, **ECHO, tags=["bulk"])
    before = api.read("/v1/tasks/theirs-1"), api.items("/v1/tasks/theirs-1/runs")
    body = {"selector": selector, "dry_run": dry_run}

    answer = api.post(f"/v1/tasks/{verb}", json=body, headers=US)

    assert answer.status_code == 200, answer.text
    matched = 0 if selector == {"name_prefix": "theirs-"} else 2
    assert answer.json()["matched"] == matched
    assert "theirs" not in answer.text
    assert (api.read("/v1/tasks/theirs-1"), api.items("/v1/tasks/theirs-1/runs")) == before
    api.post("/v1/tasks/delete", json={"selector": {"all": True}})


def test_tasks_are_run_once_for_the_idempotency_key_of_each_client(api: Api) -> None:
    for name in ("ours-1", "theirs-1"):
        api.task(name, **ECHO)
    body = {"selector": {"all": True}}
    them = headers_of(client(*TEAM, tasks=NameLimit(("theirs-",))))
    once = {"idempotency-key": "same"}

    first, again, theirs = (
        api.post("/v1/tasks/run", json=body, headers=key | once) for key in (US, US, them)
    )

    assert first.json() == again.json() == theirs.json()
    assert "idempotency-replayed" not in theirs.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert [len(api.items(f"/v1/tasks/{team}-1/runs")) for team in ("ours", "theirs")] == [1, 1]


def test_two_keys_may_send_the_same_idempotency_key(api: Api) -> None:
    limits = {team: NameLimit((f"{team}-",)) for team in ("ours", "theirs")}
    made = [
        api.post(
            "/v1/tasks",
            json=ECHO | {"name": f"{team}-{turn}"},
            headers=headers_of(client(*TEAM, tasks=limits[team])) | {"idempotency-key": turn},
        )
        for turn in ("x", "y")
        for team in ("ours", "theirs")
    ]

    assert [each.status_code for each in made] == [201] * 4
    assert len({each.json()["name"] for each in made}) == 4


# --- queues


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize(
    ("tasks", "queues", "covered", "beyond"),
    [
        (UNLIMITED, ("mail",), ("mail", "mail-2"), ("default", "x-mail")),
        (("ours-",), ("mail",), ("mail",), ("default", "ours-1", "theirs")),
        # A queue holds up the runs of all tasks in it: with a limit of tasks only, a team sets those of its name.
        (("ours-",), None, ("ours-1",), ("default", "mail", "theirs")),
        (UNLIMITED, None, ("default", "mail"), ()),
        (UNLIMITED, (), (), ("default",)),
    ],
    ids=str,
)
def test_a_key_changes_the_queues_that_it_covers(
    api: Api, method: str, tasks: Any, queues: Any, covered: Any, beyond: Any
) -> None:
    limit = tasks if tasks is UNLIMITED else NameLimit(tasks)
    key = headers_of(client(Scope.QUEUES, tasks=limit, queues=NameLimit(queues)))
    body = {"json": {"concurrency": 5}} if method == "PUT" else {}

    for queue in covered:
        api.put(f"/v1/queues/{queue}", json={"concurrency": 1})
        assert api.call(method, f"/v1/queues/{queue}", headers=key, **body).is_success
        api.delete(f"/v1/queues/{queue}")
    for queue in beyond:
        api.put(f"/v1/queues/{queue}", json={"concurrency": 1})
        problem(api.call(method, f"/v1/queues/{queue}", headers=key, **body), 404, "not-found")
        assert api.read(f"/v1/queues/{queue}")["concurrency"] == 1
        api.delete(f"/v1/queues/{queue}")


# --- leases


def lease(api: Api, key: dict[str, str], queue: str = "default", **body: Any) -> Any:
    given = {"handlers": ["work"], "max": 100} | body
    return api.post(f"/v1/queues/{queue}/lease", json=given, headers=key)


def worker(*names: str, queues: tuple[str, ...] | None = None) -> dict[str, str]:
    tasks = NameLimit(names or None)
    return headers_of(client(Scope.WORK, tasks=tasks, queues=NameLimit(queues)))


def test_a_worker_gets_only_runs_of_tasks_that_its_key_covers(api: Api) -> None:
    for name in ("ours-work", "theirs-work"):
        api.task(name, **WORK)
        api.run(name)

    ours = lease(api, worker("ours-")).json()["items"]
    again = lease(api, worker("ours-"), wait=0.2).json()["items"]
    none = lease(api, worker("nobody-")).json()["items"]
    rest = lease(api, worker()).json()["items"]

    assert [each["run"]["task"] for each in ours] == ["ours-work"]
    assert (again, none) == ([], [])
    assert [each["run"]["task"] for each in rest] == ["theirs-work"]


def test_a_worker_leases_from_the_queues_of_its_key(api: Api) -> None:
    api.task("mail-work", **WORK, queue="mail")
    api.run("mail-work")

    problem(lease(api, worker(queues=("other",)), queue="mail"), 404, "not-found")
    problem(lease(api, worker(queues=("other",)), queue="none"), 404, "not-found")
    assert len(lease(api, worker(queues=("mail",)), queue="mail").json()["items"]) == 1


def test_a_worker_gets_no_http_no_python_and_no_secret_input(api: Api) -> None:
    key = worker("ours-")

    for handler in ("http", "echo", "hold"):
        assert pointers(lease(api, key, handlers=[handler])) == ["/handlers/0"]
    sealed = api.put("/v1/tasks/ours-secret", json=WORK | {"secret_input": True, "input": 1})
    assert pointers(sealed) == ["/secret_input"]


def test_the_scope_work_declares_no_handler(api: Api) -> None:
    problem(api.put("/v1/handlers/echo", json={}, headers=worker()), 403, "forbidden")
    problem(api.delete("/v1/handlers/work", headers=worker()), 403, "forbidden")


# --- secrets


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "set_once", "key": "pin", "value": 0},
        {"op": "expire", "key": "pin", "ttl": "1h"},
        {"op": "append", "key": "list", "value": 0},
        {"op": "increment", "key": "number", "by": 0},
    ],
)
def test_the_scope_kv_write_reads_no_values(api: Api, operation: dict[str, Any]) -> None:
    api.task("ours-kv")
    for key, value in (("pin", "hunter2"), ("list", ["hunter2"]), ("number", 48_151)):
        assert api.put(f"/v1/tasks/ours-kv/kv/{key}", json={"value": value}).is_success

    writer, both = client(Scope.KV_WRITE, tasks=OURS), client(Scope.KV_WRITE, Scope.KV_READ)
    answers = [
        api.post(
            "/v1/tasks/ours-kv/kv/transaction",
            json={"operations": [operation]},
            headers=headers_of(caller),
        ).json()["items"][0]
        for caller in (writer, both)
    ]

    assert ["value" in each for each in answers] == [False, True]
    assert answers[0]["size"] >= len("48151")
    api.delete("/v1/tasks/ours-kv")


@pytest.fixture
def secrets(api: Api) -> Iterator[Api]:
    """A service with secrets for one team, for the other, for both, and for all tasks."""
    for name, tasks in SECRETS.items():
        answer = api.put(f"/v1/secrets/{name}", json=SECRET | {"tasks": tasks})
        assert answer.is_success, answer.text
    yield api
    for name in (*SECRETS, "new"):
        api.delete(f"/v1/secrets/{name}?force=true")


SECRETS = {
    "all": ["*"],
    "both": ["ours-*", "theirs-*"],
    "mine": ["ours-*"],
    "one": ["ours-1"],
    "theirs": ["theirs-*"],
    "wide": ["our*"],
}
OWN, OTHERS = ("mine", "one"), ("all", "both", "theirs", "wide", "none")


def test_a_key_lists_and_reads_secrets_that_are_only_for_tasks_that_it_covers(
    secrets: Api,
) -> None:
    pages = [
        [each["name"] for each in secrets.get(path, headers=US).json()["items"]]
        for path in ("/v1/secrets", "/v1/secrets?limit=1")
    ]

    assert pages == [list(OWN), ["mine"]]
    assert all(secrets.get(f"/v1/secrets/{name}", headers=US).is_success for name in OWN)
    for name in OTHERS:
        problem(secrets.get(f"/v1/secrets/{name}", headers=US), 404, "not-found")


@pytest.mark.parametrize("name", OTHERS)
def test_a_key_changes_no_secret_that_is_for_other_tasks(secrets: Api, name: str) -> None:
    path = f"/v1/secrets/{name}"
    before = secrets.get(path).json()

    changes = [
        secrets.post(f"{path}/rotate", json={"value": "hunter3-and-more"}, headers=US),
        secrets.delete(path, headers=US),
        secrets.delete(f"{path}?force=true", headers=US),
    ]
    if name in SECRETS:
        changes.append(secrets.put(path, json=SECRET, headers=US))

    for answer in changes:
        assert problem(answer, 404, "not-found")["detail"] == f"There is no secret {name!r}."
    assert secrets.get(path).json() | {"request_id": 0} == before | {"request_id": 0}


def test_a_key_makes_rotates_and_removes_secrets_for_its_tasks(secrets: Api) -> None:
    made = secrets.put("/v1/secrets/new", json=SECRET, headers=US)
    rotated = secrets.post("/v1/secrets/new/rotate", json={"value": "hunter3-and-more"}, headers=US)
    removed = secrets.delete("/v1/secrets/new", headers=US)

    assert [made.status_code, rotated.status_code, removed.status_code] == [201, 200, 204]


@pytest.mark.parametrize("name", ["new", "mine", "theirs"])
@pytest.mark.parametrize(
    ("tasks", "wrong"),
    [
        (["*"], ["/tasks/0"]),
        (["ours-1", "our*", "theirs-1"], ["/tasks/1", "/tasks/2"]),
        (None, ["/tasks"]),
    ],
)
def test_a_key_gives_a_secret_to_no_other_tasks(
    secrets: Api, name: str, tasks: list[str] | None, wrong: list[str]
) -> None:
    body = {each: value for each, value in SECRET.items() if each != "tasks"}
    answer = secrets.put(
        f"/v1/secrets/{name}",
        json=body if tasks is None else body | {"tasks": tasks},
        headers=US,
    )

    assert pointers(answer) == wrong
    assert answer.json()["detail"].endswith(
        "this key may only use a task whose name begins with 'ours-'; say which tasks may send the secret."
    )


def test_a_task_uses_secrets_for_it_and_learns_nothing_of_others(secrets: Api) -> None:
    def register(secret: str, origin: str = ORIGIN) -> Any:
        headers = {"Authorization": f"Bearer {{{{ secret.{secret} }}}}"}
        target = {"url": f"{origin}/jobs", "headers": headers}
        body = {"handler": "http", "schedule": MANUAL, "target": target}
        return secrets.put("/v1/tasks/ours-caller", json=body, headers=US)

    for name in ("mine", "both", "all", "wide"):
        assert register(name).is_success
    there, missing = register("theirs"), register("nowhere")

    assert (
        there.text.replace("'theirs'", "'nowhere'").partition('"request_id"')[0]
        == (missing.text.partition('"request_id"')[0])
    )
    assert problem(there, 422, "unusable-secret")["errors"][0]["detail"] == (
        "there is no secret 'theirs' that the task 'ours-caller' may send"
    )
    assert "may be sent to" in register("mine", "https://other.example.com").text
    secrets.delete("/v1/tasks/ours-caller")


def test_the_removal_of_a_secret_names_only_tasks_that_the_key_covers(secrets: Api) -> None:
    target = {"url": ORIGIN, "headers": {"Authorization": "Bearer {{ secret.both }}"}}
    for name in ("ours-1", "theirs-1"):
        secrets.task(name, handler="http", target=target)
    narrower = SECRET | {"tasks": ["ours-*"]}
    assert secrets.put("/v1/secrets/both", json=narrower).is_success

    answer = secrets.delete("/v1/secrets/both", headers=US)

    assert problem(answer, 409, "secret-in-use")["tasks"] == ["ours-1"]
    assert "theirs" not in answer.text
    secrets.delete("/v1/tasks/ours-1")
    secrets.delete("/v1/tasks/theirs-1")
