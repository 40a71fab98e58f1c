"""Attempts that continue outside of Rota: their targets complete them later, by the token of the attempt."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from rota.domain.primitives.ids import random_id
from rota.store.runs.claiming.tokens import new_token
from tests.api.marks import on_both, shares_service
from tests.api.service import Api, pointers, problem, serving
from tests.handlers.target import Received, Site
from tests.handlers.target import serving as serving_site
from tests.support.factories import eventually

pytestmark = [on_both, shares_service]


@pytest.fixture
def site() -> Iterator[Site]:
    with serving_site() as site:
        site.answer(202)
        yield site


def later(api: Api, site: Site, name: str = "", **fields: Any) -> dict[str, Any]:
    """Declare a task whose target completes its runs later, and run it."""
    name = name or f"t{site.port}"  # tests share a service
    target = {"url": f"http://127.0.0.1:{site.port}/jobs", "async": True}
    retry = {"initial_interval": 1, "jitter": False}
    api.task(name, handler="http", target=target, **{"retry": retry} | fields)
    return api.run(name)


def handed_off(api: Api, run: dict[str, Any]) -> dict[str, Any]:
    """Wait until a run waits for its completion."""

    def waits() -> dict[str, Any] | None:
        read = api.read(f"/v1/runs/{run['id']}")
        return read if read["waiting_on"] == ["completion"] else None

    found: dict[str, Any] = eventually(waits)
    return found


def begun(api: Api, site: Site, **fields: Any) -> tuple[dict[str, Any], str]:
    """Run a task whose target answers 202; return the run, which waits for its completion, and the token."""
    run = handed_off(api, later(api, site, **fields))
    return run, site.received[-1].headers["x-rota-token"]


def complete(api: Api, run: dict[str, Any], token: str, **outcome: Any) -> httpx.Response:
    return api.post(f"/v1/runs/{run['id']}/complete", headers={"X-Rota-Token": token}, json=outcome)


def beat(api: Api, run: dict[str, Any], token: str, **body: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return api.post(f"/v1/runs/{run['id']}/heartbeat", headers=headers, json=body)


# ------------------------------------------------------------------------------------------------- completions
def test_a_202_means_later_and_the_completion_is_the_outcome(api: Api, site: Site) -> None:
    run, token = begun(api, site)
    api.put(f"/v1/tasks/{run['task']}/kv/seen", json={"value": 1})
    assert run["status"] == "running"
    assert run["lease_expires_at"]

    answer = complete(
        api,
        run,
        token,
        result={"new": 3},
        kv=[{"op": "set", "key": "cursor", "value": "8812"}, {"op": "increment", "key": "seen"}],
    )

    assert answer.status_code == 200, answer.text
    done = answer.json()
    assert (done["status"], done["result"]) == ("succeeded", {"new": 3})
    assert (done["waiting_on"], "lease_expires_at" in done) == ([], False)
    assert api.read(f"/v1/tasks/{run['task']}/kv/cursor")["value"] == "8812"
    assert api.read(f"/v1/tasks/{run['task']}/kv/seen")["value"] == 2
    assert len(site.received) == 1


def test_a_second_completion_is_409_with_what_became_of_the_first(api: Api, site: Site) -> None:
    run, token = begun(api, site)
    complete(api, run, token, result=1)

    again = problem(complete(api, run, token, result=2), 409, "superseded")

    assert (again["run"]["status"], again["attempt"]["outcome"]) == ("succeeded", "succeeded")
    problem(beat(api, run, token), 409, "superseded")
    assert api.read(f"/v1/runs/{run['id']}")["result"] == 1


def test_of_many_completions_at_once_one_is_accepted(api: Api, site: Site) -> None:
    run, token = begun(api, site)
    path, headers = f"/v1/runs/{run['id']}/complete", {"X-Rota-Token": token}

    answers = api.together(
        [("POST", path, {"headers": headers, "json": {"result": number}}) for number in range(20)]
    )

    accepted = [answer for answer in answers if answer.status_code == 200]
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 19}
    assert api.read(f"/v1/runs/{run['id']}")["result"] == accepted[0].json()["result"]


@pytest.mark.parametrize("status", [202, 200, 503, None])
def test_a_completion_before_the_response_counts_and_the_response_is_ignored(
    api: Api, site: Site, status: int | None
) -> None:
    answers = []

    def call_back(got: Received) -> None:
        run = {"id": got.headers["x-rota-run"]}
        answers.append(complete(api, run, got.headers["x-rota-token"], result="early"))

    site.meanwhile = call_back
    if status is None:
        site.hangs_up = True
    else:
        site.answer(status)

    run = api.ended(later(api, site))

    eventually(lambda: answers)
    assert [answer.status_code for answer in answers] == [200]
    assert (run["status"], run["result"], run["attempt"]) == ("succeeded", "early", 1)
    assert len(site.received) == 1


def test_a_retry_is_another_attempt_with_another_token(api: Api, site: Site) -> None:
    run, token = begun(api, site)

    answer = complete(api, run, token, retry={"after": 0, "reason": "rate limited"})

    assert answer.status_code == 200, answer.text
    eventually(lambda: len(site.received) == 2)
    handed_off(api, run)
    fresh = site.received[-1].headers["x-rota-token"]
    assert fresh != token
    late = problem(complete(api, run, token, result="late"), 409, "superseded")
    assert (late["attempt"]["outcome"], late["run"]["attempt"]) == ("retry", 2)
    done = complete(api, run, fresh, result="second").json()
    assert (done["result"], done["failures"]) == ("second", 1)


def test_a_fail_ends_the_run(api: Api, site: Site) -> None:
    run, token = begun(api, site)

    done = complete(api, run, token, fail={"reason": "no such customer"}).json()

    assert (done["status"], done["reason"]) == ("failed", "fatal")
    assert done["error"]["message"] == "no such customer"


def test_a_write_to_an_entry_that_was_changed_since_the_attempt_began_is_a_conflict(
    api: Api, site: Site
) -> None:
    run, token = begun(api, site)
    api.put(f"/v1/tasks/{run['task']}/kv/cursor", json={"value": "mine"})

    done = complete(
        api, run, token, result=1, kv=[{"op": "set", "key": "cursor", "value": "theirs"}]
    ).json()

    assert done["attempts"][0]["outcome"] == "conflict"
    assert api.read(f"/v1/tasks/{run['task']}/kv/cursor")["value"] == "mine"


@pytest.mark.parametrize(
    ("outcome", "pointer"),
    [
        ({"kv": [{"op": "increment", "key": "a", "by": "x"}]}, "/kv/0/by"),
        ({"kv": [{"op": "set", "key": "_result", "value": 1}]}, "/kv/0"),
        ({"retry": {}, "result": 1}, ""),
        ({"results": 1}, "/results"),
        ({"kv": [{"op": "delete", "key": "a"}] * 1_001}, "/kv"),
    ],
)
def test_what_is_no_outcome_is_422_and_the_attempt_continues(
    api: Api, site: Site, outcome: dict[str, Any], pointer: str
) -> None:
    run, token = begun(api, site)

    answer = complete(api, run, token, **outcome)

    problem(answer, 422, "invalid")
    assert pointers(answer)[0] == pointer
    assert complete(api, run, token, result=1).status_code == 200


# ------------------------------------------------------------------------------------------------------ tokens
def test_a_wrong_token_and_an_unknown_run_are_the_same_404(api: Api, site: Site) -> None:
    run, token = begun(api, site)
    other, _ = begun(api, site, name="other")
    nowhere = {"id": random_id()}

    answers = [
        problem(call(api, of, given), 404, "not-found")
        for call in (complete, beat)
        for of, given in (
            (run, new_token()),
            (run, "short"),
            (run, "x" * 43),
            (other, token),
            (nowhere, token),
            ({"id": "no-id"}, token),
        )
    ]

    assert len({answer["detail"] for answer in answers}) == 1


def test_without_a_token_the_answer_says_how_to_send_it(api: Api, site: Site) -> None:
    run, _ = begun(api, site)

    for path in (f"/v1/runs/{run['id']}/complete", f"/v1/runs/{random_id()}/heartbeat"):
        assert "X-Rota-Token" in problem(api.post(path), 401, "unauthorized")["detail"]


def test_without_the_token_no_byte_of_the_body_is_read(api: Api, site: Site) -> None:
    run, _ = begun(api, site)

    async def unread() -> dict[str, Any]:
        raise AssertionError("the body was read")

    async def call(token: str) -> int:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": f"/v1/runs/{run['id']}/complete",
            "raw_path": b"",
            "query_string": b"",
            "root_path": "",
            "headers": [
                (b"host", b"rota.example.com"),
                (b"content-type", b"application/json"),
                (b"content-length", b"1000000000"),
                (b"x-rota-token", token.encode()),
            ],
            "client": ("203.0.113.9", 1),
            "server": ("127.0.0.1", 80),
        }
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        await api.app(scope, unread, send)
        return int(sent[0]["status"])

    assert api.portal.call(call, new_token()) == 404
    assert api.portal.call(call, "x") == 404


def test_the_token_needs_no_key_on_any_address_and_is_good_for_nothing_else(
    migrated_database_url: str, site: Site
) -> None:
    key = "k" * 24
    with serving(
        migrated_database_url,
        api_key=key,
        public_url="https://rota.example.com/",
        http_targets=("loopback",),
    ) as api:
        keyed = Api(api.portal, api.app, {"Authorization": f"Bearer {key}"})
        run, token = begun(keyed, site)
        stranger = Api(api.portal, api.app, {"Host": "rota.example.com", "X-Forwarded-For": "a"})
        got = site.received[-1]
        assert got.headers["x-rota-complete-url"] == (
            f"https://rota.example.com/v1/runs/{run['id']}/complete"
        )
        assert got.headers["x-rota-heartbeat-url"].endswith("/heartbeat")
        assert token not in got.path + got.headers["x-rota-complete-url"]

        bearer = {"Authorization": f"Bearer {token}"}
        problem(stranger.get(f"/v1/runs/{run['id']}", headers=bearer), 401, "unauthorized")
        problem(stranger.post(f"/v1/runs/{run['id']}/cancel", headers=bearer), 401, "unauthorized")
        problem(complete(stranger, run, key + key, result=1), 404, "not-found")
        assert beat(stranger, run, token).status_code == 200
        assert complete(stranger, run, token, result=1).status_code == 200
        ended = 'rota_attempts_total{outcome="succeeded"} 1.0'
        eventually(lambda: ended in keyed.get("/metrics").text)


def test_without_a_public_address_no_address_is_sent_and_the_registration_warns(
    api: Api, site: Site
) -> None:
    begun(api, site)

    body = {
        "handler": "http",
        "schedule": {"type": "manual"},
        "target": {"url": "http://127.0.0.1/jobs", "async": True},
    }
    warned = api.put("/v1/tasks/u", json=body).json()["warnings"]
    target = {"url": "http://127.0.0.1/jobs"}
    silent = api.put("/v1/tasks/v", json=body | {"target": target}).json()["warnings"]

    assert not any(name.endswith("-url") for name in site.received[-1].headers)
    assert "no_public_url" in {each["code"] for each in warned}
    assert "no_public_url" not in {each["code"] for each in silent}
    assert api.read("/v1/tasks/u")["target"]["async"] is True


# ------------------------------------------------------------------------------------------ heartbeats, timeouts
def test_a_heartbeat_extends_the_attempt_and_shows_its_progress(api: Api, site: Site) -> None:
    run, token = begun(api, site, heartbeat_timeout=60, timeout=90)

    first = beat(api, run, token, progress=0.4, message="parsed").json()

    assert first["cancel_requested"] is False
    assert first["lease_expires_at"] >= run["lease_expires_at"]
    read = api.read(f"/v1/runs/{run['id']}")
    assert read["progress"] == {"fraction": 0.4, "message": "parsed"}
    assert read["lease_expires_at"] == first["lease_expires_at"]
    assert beat(api, run, token).status_code == 200


def test_no_heartbeat_extends_an_attempt_beyond_its_timeout(api: Api, site: Site) -> None:
    run, token = begun(api, site, heartbeat_timeout=600, timeout=60)

    extended = beat(api, run, token).json()["lease_expires_at"]

    assert extended == run["lease_expires_at"]


def test_silence_ends_the_attempt_promptly_as_timed_out(api: Api, site: Site) -> None:
    run, token = begun(api, site, heartbeat_timeout=1, retry={"max_attempts": 1})

    ended = api.ended(run)

    assert (ended["status"], ended["reason"]) == ("failed", "timeout")
    assert ended["attempts"][0]["outcome"] == "timed_out"
    assert ended["error"]["type"] == "heartbeat"
    assert 1 <= ended["duration"] < 3
    late = problem(complete(api, run, token, result=1), 409, "superseded")
    assert late["attempt"]["outcome"] == "timed_out"


def test_a_cancel_is_seen_by_the_heartbeat_and_the_completion_still_counts(
    api: Api, site: Site
) -> None:
    run, token = begun(api, site, heartbeat_timeout=600)

    cancelled = api.post(f"/v1/runs/{run['id']}/cancel").json()

    assert cancelled["status"] == "running"
    answer = beat(api, run, token).json()
    assert answer["cancel_requested"] is True
    assert answer["lease_expires_at"] < run["lease_expires_at"]
    assert complete(api, run, token, result="done").json()["status"] == "succeeded"


def test_a_run_that_was_requested_to_end_is_cancelled_when_its_target_gives_up(
    api: Api, site: Site
) -> None:
    run, token = begun(api, site)
    api.post(f"/v1/runs/{run['id']}/cancel")

    done = complete(api, run, token, retry={"reason": "stopped"}).json()

    assert (done["status"], done["reason"]) == ("cancelled", "requested")


def test_the_token_of_a_deleted_task_is_unknown(api: Api, site: Site) -> None:
    run, token = begun(api, site)
    api.delete(f"/v1/tasks/{run['task']}")

    problem(complete(api, run, token, result=1), 404, "not-found")
    problem(beat(api, run, token), 404, "not-found")


# ------------------------------------------------------------------------------------------------ what it holds
def test_runs_that_wait_for_their_completion_take_no_slots_but_the_queue_s_concurrency(
    migrated_database_url: str, site: Site
) -> None:
    with serving(migrated_database_url, concurrency=1) as api:
        api.put("/v1/queues/q", json={"concurrency": 2})
        first, token = begun(api, site, name="a", queue="q")
        begun(api, site, name="b", queue="q")
        third = later(api, site, name="c", queue="q")
        begun(api, site, name="d")  # the one slot of the process is free

        queue = api.read("/v1/queues/q")
        assert (queue["running"], queue["queued"]) == (2, 1)
        complete(api, first, token, result=1)

        handed_off(api, third)


def test_an_explanation_says_that_a_run_waits_for_its_completion(api: Api, site: Site) -> None:
    run, _ = begun(api, site)

    explained = api.read(f"/v1/tasks/{run['task']}/explain")

    assert (explained["verdict"], explained["reason"]) == ("running", "completion")
    assert run["lease_expires_at"] in explained["message"]
