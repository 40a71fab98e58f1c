"""What a key that is limited to the tasks of a team sees of a service that it shares: nothing of those of others."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rota.domain.access.names import NameLimit
from rota.domain.access.principal import Principal
from rota.domain.access.scopes import Scope
from tests.api.access.clients import KEY, OURS, TEAM, client, shared, with_key
from tests.api.service import MANUAL, Api, problem
from tests.api.stream_client import Stream
from tests.support.factories import eventually

#: In every name that the other team has given, and nowhere else.
MARK = "theirs"
US = client(*TEAM, tasks=OURS)
TASK = {"handler": "echo", "schedule": MANUAL, "overlap_policy": "allow"}
#: Routes of things with an id or a name that are not found by the name of their task in the path.
BY_ID = ("/v1/runs/{id}", "/v1/queues/{name}")
STREAM = "/v1/events"


class Team:
    """The calls of one client."""

    def __init__(self, api: Api, caller: Principal) -> None:
        self._api = api
        self.headers = with_key(api, caller)

    def call(self, method: str, path: str, **options: Any) -> Any:
        headers = self.headers | options.pop("headers", {})
        return self._api.call(method, path, headers=headers, **options)

    def get(self, path: str) -> Any:
        return self.call("GET", path)

    def read(self, path: str) -> Any:
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def tasks(self, query: str) -> list[str]:
        return [each["name"] for each in self.read(f"/v1/tasks?{query}")["items"]]

    def runs(self, query: str) -> list[str]:
        return [each["task"] for each in self.read(f"/v1/runs?{query}")["items"]]


class Shared:
    """A service with the tasks of two teams, and a run of each that has ended and one that waits."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.us = Team(api, US)
        self.ended: dict[str, str] = {}
        self.waiting: dict[str, str] = {}
        for team in ("ours", MARK):
            self._add(team)
        assert api.put("/v1/queues/shared", json={"paused": True, "concurrency": 3}).is_success
        assert api.put(f"/v1/queues/{MARK}-set", json={"concurrency": 3}).is_success
        for team, number in (("ours", 1), (MARK, 2)):
            for _ in range(number):
                self.waiting[team] = api.run(f"{team}-2")["id"]

    def _add(self, team: str) -> None:
        own = {"tags": ["billing", f"{team}-tag"], "description": f"by {team}"}
        self.api.task(f"{team}-1", queue=f"{team}-queue", **own, **TASK)
        self.api.task(f"{team}-2", queue="shared", **own, **TASK)
        assert self.api.put(f"/v1/tasks/{team}-1/kv/k", json={"value": f"of {team}"}).is_success
        run = self.api.run(f"{team}-1", input={"by": team})
        self.ended[team] = self.api.ended(run)["id"]


@pytest.fixture(scope="module")
def service(another_database: Callable[[str], str]) -> Iterator[Shared]:
    with shared(another_database("sqlite")) as api:
        yield Shared(api)


def parameters(service: Shared, team: str) -> dict[str, str]:
    return {"name": f"{team}-1", "id": service.ended[team], "key": "k"}


def paths(service: Shared, method: str) -> list[str]:
    return [
        route.path
        for route in service.api.app.state.routes
        if method in route.methods and route.path != STREAM
    ]


# ------------------------------------------------------------------------------------------------------ everything
def test_no_page_that_a_limited_key_reads_has_anything_of_another_team(service: Shared) -> None:
    others = (MARK, service.ended[MARK], service.waiting[MARK])
    for path in paths(service, "GET"):
        for number in range(2):  # also with a queue's and a handler's name, and by the waiting run
            ours = parameters(service, "ours") | ({"name": "shared"} if number else {})
            ours |= {"id": service.waiting["ours"]} if number else {}
            answer = service.us.get(path.format_map(defaultdict(str, ours, version="1")))
            assert not [each for each in others if each in answer.text], (path, answer.text)


def test_another_team_s_things_are_answered_as_those_that_are_not_there(service: Shared) -> None:
    there = parameters(service, MARK)
    absent = {"name": "absent-1", "id": "01890000-0000-7000-8000-000000000000", "key": "k"}
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        for path in paths(service, method):
            if not path.startswith(("/v1/tasks/{name}", *BY_ID)) or path.endswith(_BY_TOKEN):
                continue
            hidden, unknown = (
                _shown(service.us.call(method, path.format_map(names), **_body(method)), names)
                for names in (there | _queue(path), absent)
            )
            assert hidden == unknown, (method, path)
            # A worker with such a key leases from any queue, but nothing of others: none is there for it.
            assert hidden[0] == (422 if path.endswith("/lease") else 404), (method, path)


_BY_TOKEN = ("/complete", "/heartbeat")


def _body(method: str) -> dict[str, Any]:
    return {"json": {}} if method in {"POST", "PUT", "PATCH"} else {}


def _queue(path: str) -> dict[str, str]:
    return {"name": f"{MARK}-set"} if path.startswith("/v1/queues") else {}


def _shown(answer: Any, names: dict[str, str]) -> tuple[int, dict[str, str], str]:
    """Return all of an answer, without what differs between any two requests."""
    text = answer.text
    for number, name in enumerate(names.values()):
        text = text.replace(name, f"<{number}>")
    headers = {
        name: value
        for name, value in answer.headers.items()
        if name not in {"x-request-id", "content-length"}
    }
    return answer.status_code, headers, re.sub(r'"request_id":"\w+"', "", text)


@pytest.mark.parametrize(
    "path",
    ["", "/upcoming", "/explain", "/runs", "/stats", "/backfills", "/kv", "/kv/k", "/kv/export"],
)
def test_a_hidden_task_is_answered_as_one_of_ours_that_is_not_there(
    service: Shared, path: str
) -> None:
    hidden = service.us.get(f"/v1/tasks/{MARK}-1{path}")
    absent = service.us.get(f"/v1/tasks/ours-absent{path}")

    assert hidden.status_code == absent.status_code == 404
    assert hidden.json()["detail"] == f"There is no task '{MARK}-1'."
    assert absent.json()["detail"] == "There is no task 'ours-absent'."


def test_a_limited_key_changes_nothing_of_another_team(service: Shared) -> None:
    before = service.api.read(f"/v1/runs/{service.waiting[MARK]}")

    for id in (service.waiting[MARK], service.ended[MARK]):
        for verb in ("cancel", "rerun"):
            problem(service.us.call("POST", f"/v1/runs/{id}/{verb}"), 404, "not-found")

    assert service.api.read(f"/v1/runs/{service.waiting[MARK]}") == before
    assert len(service.api.items(f"/v1/tasks/{MARK}-1/runs")) == 1


def test_a_bulk_operation_of_a_limited_key_is_for_runs_of_its_tasks(service: Shared) -> None:
    selected = {"all": True}

    mine = service.us.call(
        "POST", "/v1/runs/cancel", json={"selector": selected, "dry_run": True}
    ).json()
    named = {"selector": {"task": [f"{MARK}-1"]}}
    nothing = service.us.call("POST", "/v1/runs/delete", json=named).json()

    assert {each["task"] for each in mine["items"]} == {"ours-1", "ours-2"}
    assert nothing["runs"] == 0


def test_a_bulk_operation_over_tasks_of_others_is_hidden(service: Shared) -> None:
    preview = {"selector": {"all": True}, "dry_run": True}
    id = service.api.post("/v1/runs/cancel", json=preview).json()["id"]

    assert id not in [each["id"] for each in service.us.read("/v1/bulk?limit=200")["items"]]
    for path in ("", "/items"):
        problem(service.us.get(f"/v1/bulk/{id}{path}"), 404, "not-found")
    for verb in ("confirm", "cancel"):
        problem(service.us.call("POST", f"/v1/bulk/{id}/{verb}"), 404, "not-found")


#: Parameters of reading routes by which things are found that belong to tasks; each has a test here.
FINDERS = {
    "task",
    "tag",
    "handler",
    "queue",
    "name_prefix",
    "backfill_id",
    "chain_id",
    "all_tags",
    "cursor",
    "last_event_id",
}
OTHERS = {
    *("limit", "status", "reason", "trigger", "type", "scheduled_from", "scheduled_to", "wait"),
    *("error", "error_text", "finished_from", "finished_to", "total", "by", "window", "metric"),
    *("until", "days", "follow", "count", "at", "kind", "principal", "action", "from", "to"),
    "ended",
    # Of what the key may see.
    *("failing", "hours"),
    # Of the tasks that are listed.
    "latest_runs",
    # Within the bulk operation that the path names.
    "result",
    # Within the task that the path names.
    *("prefix", "key", "keys", "include", "watch", "initial", "at", "start", "end"),
}


def test_every_parameter_that_finds_things_of_tasks_is_known(service: Shared) -> None:
    operations = service.api.read("/openapi.json")["paths"].values()
    found = {
        parameter["name"]
        for each in operations
        for parameter in each.get("get", {}).get("parameters", ())
        if parameter["in"] == "query"
    }

    assert found >= FINDERS
    assert found - FINDERS - OTHERS == set()


# ----------------------------------------------------------------------------------------------------------- lists
@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["ours-1", "ours-2"]),
        ("tag=billing", ["ours-1", "ours-2"]),
        ("tag=theirs-tag", []),
        ("all_tags=billing,theirs-tag", []),
        ("queue=shared", ["ours-2"]),
        ("handler=echo&limit=1", ["ours-1"]),
        ("name_prefix=theirs", []),
        ("name_prefix=o", ["ours-1", "ours-2"]),
    ],
)
def test_tasks_are_listed_without_those_of_others(
    service: Shared, query: str, names: list[str]
) -> None:
    assert service.us.tasks(query) == names


@pytest.mark.parametrize("path", ["/v1/tasks", "/v1/runs", "/v1/queues"])
def test_pages_are_full_and_end(service: Shared, path: str) -> None:
    found: list[Any] = []
    sizes: list[int] = []
    cursor: str | None = ""
    while cursor is not None:
        page = service.us.read(f"{path}?limit=1{cursor}")
        sizes.append(len(page["items"]))
        found += page["items"]
        following = page["next_cursor"]
        cursor = None if following is None else f"&cursor={following}"

    assert sizes == [1, 1]
    assert found == service.us.read(path)["items"]


@pytest.mark.parametrize(
    ("query", "tasks"),
    [
        ("", ["ours-2", "ours-1"]),
        ("tag=billing", ["ours-2", "ours-1"]),
        ("tag=theirs-tag", []),
        ("all_tags=billing,theirs-tag", []),
        ("all_tags=billing,ours-tag", ["ours-2", "ours-1"]),
        ("task=theirs-1", []),
        ("task=theirs-1,ours-1", ["ours-1"]),
        ("status=queued", ["ours-2"]),
        # Cursors of an administrator: positions, which show nothing.
        (
            "cursor=WyIyMDk5LTAxLTAxVDAwOjAwOjAwLjAwMFoiLCIwMTg5MDAwMC0wMDAwLTcwMDAtODAwMC0wMDAwMDAwMDAwMDAiXQ",
            ["ours-2", "ours-1"],
        ),
    ],
)
def test_runs_are_listed_without_those_of_others(
    service: Shared, query: str, tasks: list[str]
) -> None:
    assert service.us.runs(query) == tasks


@pytest.mark.parametrize("time", ["2026-11-25", "2026-11-25T08:00"])
def test_a_filter_does_not_say_which_time_zone_a_hidden_task_has(
    service: Shared, time: str
) -> None:
    hidden = service.us.get(f"/v1/runs?task={MARK}-1&scheduled_from={time}")
    absent = service.us.get(f"/v1/runs?task=absent&scheduled_from={time}")

    assert (hidden.status_code, hidden.json()["errors"]) == (422, absent.json()["errors"])
    assert service.us.get(f"/v1/runs?task=ours-1&scheduled_from={time}").status_code == 200


def test_runs_of_a_backfill_of_others_are_not_listed(service: Shared) -> None:
    daily = {
        "schedule": {"type": "cron", "expression": "0 9 * * *", "start_at": "2026-01-01T00:00:00Z"}
    }
    service.api.task(f"{MARK}-3", **TASK | daily)
    span = {"from": "2026-01-02T00:00:00Z", "to": "2026-01-04T00:00:00Z"}
    begun = service.api.post(f"/v1/tasks/{MARK}-3/backfill", json=span)
    assert begun.status_code == 202, begun.text
    query = f"backfill_id={begun.json()['backfill_id']}"
    try:
        assert eventually(lambda: service.api.items(f"/v1/runs?{query}"))
        assert service.us.runs(query) == []
    finally:
        service.api.delete(f"/v1/tasks/{MARK}-3")


def test_runs_of_a_chain_of_others_are_not_listed(service: Shared) -> None:
    for team, expected in ((MARK, []), ("ours", ["ours-1"])):
        assert service.us.runs(f"chain_id={service.ended[team]}") == expected


def test_totals_do_not_count_what_is_of_others(service: Shared) -> None:
    for path in ("/v1/tasks", "/v1/runs"):
        page, seen = service.us.read(f"{path}?total=true&limit=1"), service.us.read(path)["items"]
        assert (page["total"], page["total_is_exact"]) == (len(seen), True)


def test_links_to_runs_of_others_are_not_shown(service: Shared) -> None:
    after = {"schedule": {"type": "after", "tasks": ["ours-1"]}, "handler": "echo"}
    service.api.task(f"{MARK}-4", **after)
    try:
        ours = service.api.ended(service.api.run("ours-1"))
        assert eventually(lambda: service.api.items(f"/v1/tasks/{MARK}-4/runs"))
        path = f"/v1/runs/{ours['id']}"
        seen, all_of_it = service.us.read(path), service.api.read(path)
        graph, whole = service.us.read(f"{path}/lineage"), service.api.read(f"{path}/lineage")
        assert (seen["fed"], [each["task"] for each in all_of_it["fed"]]) == ([], [f"{MARK}-4"])
        assert ([each["id"] for each in graph["runs"]], graph["links"]) == ([ours["id"]], [])
        assert (len(whole["runs"]), len(whole["links"])) == (2, 1)
    finally:
        service.api.delete(f"/v1/tasks/{MARK}-4")


def test_failures_of_others_are_in_no_group_and_not_found_by_their_text(service: Shared) -> None:
    service.api.task(f"{MARK}-5", handler="refuse", schedule=MANUAL)
    found = "/v1/runs?error_text=no%20such%20customer&total=true"
    selector = {"selector": {"error_text": "no such customer"}, "dry_run": True}
    try:
        service.api.ended(service.api.run(f"{MARK}-5"))
        assert (service.api.read(found)["total"], service.us.read(found)["total"]) == (1, 0)
        assert service.us.call("POST", "/v1/runs/rerun", json=selector).json()["runs"] == 0
        assert service.api.read("/v1/runs/groups")["failures"] == 1
        assert service.us.read("/v1/runs/groups")["items"] == []
    finally:
        service.api.delete(f"/v1/tasks/{MARK}-5")


@pytest.mark.parametrize("query", ["", "task=theirs-1", "tag=billing", "tag=theirs-tag"])
def test_statistics_are_without_the_runs_of_others(service: Shared, query: str) -> None:
    counted = service.us.read(f"/v1/stats?{query}")["runs"]["total"]

    assert counted == len(service.us.runs(query))
    assert counted < service.api.read("/v1/stats")["runs"]["total"]


def test_a_run_of_others_is_not_waited_for(service: Shared) -> None:
    problem(service.us.get(f"/v1/runs/{service.waiting[MARK]}?wait=60"), 404, "not-found")


def test_what_a_run_of_others_has_changed_in_the_kv_is_not_there(service: Shared) -> None:
    problem(service.us.get(f"/v1/runs/{service.ended[MARK]}/kv"), 404, "not-found")


# ---------------------------------------------------------------------------------------------------------- queues
def test_queues_are_those_of_its_tasks_with_only_their_runs_counted(service: Shared) -> None:
    listed = {each["name"]: each for each in service.us.read("/v1/queues")["items"]}

    assert sorted(listed) == ["ours-queue", "shared"]
    assert listed["shared"] == service.us.read("/v1/queues/shared")
    assert (listed["shared"]["queued"], listed["shared"]["concurrency"]) == (1, 3)
    assert service.api.read("/v1/queues/shared")["queued"] == 3


def test_a_queue_that_a_key_names_is_shown_to_it_once_it_is_set(service: Shared) -> None:
    keeper = Team(service.api, client(*TEAM, tasks=OURS, queues=NameLimit((f"{MARK}-",))))

    listed = [each["name"] for each in keeper.read("/v1/queues")["items"]]

    assert listed == ["ours-queue", "shared", f"{MARK}-set"]
    assert keeper.read(f"/v1/queues/{MARK}-set")["concurrency"] == 3
    problem(keeper.get(f"/v1/queues/{MARK}-queue"), 404, "not-found")


# ---------------------------------------------------------------------------------------------------------- events
def test_events_are_those_of_its_tasks_and_the_position_moves_past_the_others(
    service: Shared,
) -> None:
    headers = service.us.headers
    first = Stream(service.api, "/v1/events", headers=headers)
    eventually(lambda: first.last_id)
    begin = first.last_id
    for team in (MARK, "ours", MARK):
        assert service.api.put(f"/v1/tasks/{team}-1/kv/e", json={"value": team}).is_success
    received = first.until_received(1)
    first.stop()
    resumed = Stream(service.api, "/v1/events", begin, headers=headers)
    again = resumed.until_received(1)
    resumed.stop()

    assert [each.data["task"] for each in received] == ["ours-1"]
    assert again == received
    assert MARK not in first.text + resumed.text


def test_a_client_that_receives_nothing_of_what_happens_still_advances(
    service: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.api.app.state.services.streams, "heartbeat", 0.05)
    stream = Stream(service.api, "/v1/events", headers=service.us.headers)
    eventually(lambda: stream.last_id)
    begin = stream.last_id

    assert service.api.put(f"/v1/tasks/{MARK}-1/kv/e", json={"value": "more"}).is_success

    eventually(lambda: stream.last_id != begin, "the position stays")
    stream.stop()
    assert stream.events == []


@pytest.mark.parametrize("query", ["task=theirs-1", "task=theirs-1&type=kv.changed"])
def test_events_of_others_cannot_be_asked_for(service: Shared, query: str) -> None:
    stream = Stream(service.api, f"/v1/events?{query}", headers=service.us.headers)
    eventually(lambda: stream.last_id)

    assert service.api.put(f"/v1/tasks/{MARK}-1/kv/e", json={"value": "again"}).is_success
    assert service.api.put("/v1/tasks/ours-1/kv/e", json={"value": query}).is_success

    stream.stop()
    assert stream.events == []


# ------------------------------------------------------------------------------------------------- alerts and audit
def test_alerts_are_those_of_its_tasks(service: Shared) -> None:
    for team in ("ours", MARK):
        fields = TASK | {"handler": "refuse", "retry": {"max_attempts": 1}}
        service.api.task(f"{team}-3", **fields, on_failure={"task": f"{team}-1"})
        service.api.ended(service.api.run(f"{team}-3"))
    try:
        everyone = {each["task"] for each in service.api.items("/v1/alerts")}
        for query in ("", f"?task={MARK}-3,ours-3"):
            listed = {each["task"] for each in service.us.read(f"/v1/alerts{query}")["items"]}
            assert (listed, everyone) == ({"ours-3"}, {"ours-3", f"{MARK}-3"})
        problem(service.us.get(f"/v1/tasks/{MARK}-3/alerts"), 404, "not-found")
    finally:
        for team in ("ours", MARK):
            service.api.delete(f"/v1/tasks/{team}-3")


def test_the_error_of_a_run_is_shown_to_keys_that_may_read_runs(service: Shared) -> None:
    service.api.task("ours-told", **TASK)
    failing = TASK | {"handler": "fail", "on_failure": {"task": "ours-told"}}
    service.api.task("ours-fails", **failing, retry={"max_attempts": 1})
    service.api.ended(service.api.run("ours-fails"))
    path = "/v1/tasks/ours-fails/alerts"

    only_tasks = Team(service.api, client(Scope.TASKS_READ, tasks=OURS))
    shown = [team.read(path)["items"][0]["event"]["data"] for team in (service.us, only_tasks)]

    assert [data["run"] and data["run"]["error"]["type"] for data in shown] == ["ValueError", None]
    assert shown[0] | {"run": None} == shown[1]


def test_the_audit_log_is_that_of_its_tasks(service: Shared) -> None:
    entries = service.us.get("/v1/audit?limit=200")

    assert "ours-1" in entries.text
    assert MARK not in entries.text
    assert service.us.read(f"/v1/audit?task={MARK}-1")["items"] == []
    assert MARK in service.api.get("/v1/audit?limit=200").text


# ------------------------------------------------------------------------------------------ what is about all tasks
def test_metrics_are_for_keys_without_a_limit(service: Shared) -> None:
    refused = problem(service.us.get("/metrics"), 403, "forbidden")

    assert "limited" in refused["detail"]
    assert Team(service.api, client(Scope.RUNS_READ)).get("/metrics").status_code == 200


def test_readyz_shows_a_limited_key_no_details(service: Shared) -> None:
    assert service.us.read("/readyz") == {"status": "ok"}
    assert "warnings" in Team(service.api, client(Scope.WORK)).read("/readyz")


# --------------------------------------------------------------------------------------------------- explanations
def test_an_explanation_repeats_what_an_administrator_has_set_and_shows_nothing_of_others(
    service: Shared,
) -> None:
    after = {"type": "after", "tasks": [f"{MARK}-3"]}
    needs = {"type": "kv", "task": f"{MARK}-3", "key": "k", "equals": 1, "name": "ready"}
    api = service.api
    api.task(f"{MARK}-3", **TASK)
    api.task("ours-3", **TASK | {"schedule": after})
    api.task("ours-4", **TASK, constraints=[needs])
    api.run("ours-4")
    assert api.post(f"/v1/tasks/{MARK}-3/pause").is_success
    try:
        ours = [service.us.read(f"/v1/tasks/ours-{each}/explain") for each in (3, 4)]
        all_of_it = [api.read(f"/v1/tasks/ours-{each}/explain") for each in (3, 4)]
        assert service.us.read("/v1/tasks/ours-3")["schedule"]["tasks"] == [f"{MARK}-3"]
    finally:
        for name in ("ours-3", "ours-4", f"{MARK}-3"):
            api.delete(f"/v1/tasks/{name}")

    assert "theirs-3' (paused)" in all_of_it[0]["message"]
    assert "theirs-3' (this key does not see it)" in ours[0]["message"]
    codes = [[each["code"] for each in shown["warnings"]] for shown in (all_of_it[0], ours[0])]
    assert [("predecessor_paused" in each) for each in codes] == [True, False]
    assert "there is none" in all_of_it[1]["message"]
    assert "there is none" not in ours[1]["message"]


def test_the_key_of_the_service_sees_everything(service: Shared) -> None:
    assert KEY not in str(service.api.items("/v1/tasks"))
    assert [each for each in service.api.names() if MARK in each]
