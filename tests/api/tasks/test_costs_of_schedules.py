"""Costly computations are refused, computed in a slot, or left out, and never delay other requests."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from rota.api.http import computing
from rota.api.tasks import preview, rendering
from rota.domain import step_budget
from tests.api.service import YEARLY, Api, pointers, problem
from tests.support.factories import eventually

EVERY_SECOND = {"type": "cron", "expression": "* * * * * *"}
OUT = [{"from": "1970-01-01", "to": "8999-12-31"}]
WIDE = {"type": "any_of", "schedules": [EVERY_SECOND | {"exclude": OUT}] * 20}


def task(schedule: Any, **fields: Any) -> dict[str, Any]:
    return {"handler": "echo", "schedule": schedule, **fields}


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a union of twenty members too costly for a registration."""
    monkeypatch.setattr(rendering, "AT_ONCE", 100)
    monkeypatch.setattr("rota.api.tasks.registration.AT_ONCE", 100)
    monkeypatch.setattr("rota.api.tasks.registration.FOR_A_REGISTRATION", 200)
    monkeypatch.setattr(step_budget, "FOR_A_REGISTRATION", 200)
    monkeypatch.setattr("rota.store.tasks.registration.FOR_A_REGISTRATION", 200)


def test_a_jitter_of_a_century_is_refused(api: Api) -> None:
    schedule = EVERY_SECOND | {"jitter": "36500d", "end_at": "2026-01-01T00:00:00Z"}

    refused = [
        api.post("/v1/tasks", json=task(schedule)),
        api.post("/v1/schedules/preview", json={"schedule": schedule}),
    ]

    assert [pointers(each) for each in refused] == [["/schedule/jitter"]] * 2
    assert all("at most 31 days" in each.text for each in refused)


def test_a_schedule_that_takes_too_many_steps_is_refused_with_its_pointer(
    api: Api, few_steps: None
) -> None:
    wide = task(WIDE, name="wide")
    refused = [
        api.post("/v1/tasks", json=wide),
        api.put("/v1/tasks/wide", json=wide),
        api.post("/v1/tasks", json=wide, headers={"Idempotency-Key": "k"}),
    ]
    assert [pointers(each) for each in refused] == [["/schedule"]] * 3
    assert all("more than 200 steps" in each.text for each in refused)

    batch = {"items": [task(YEARLY), wide, *[task(WIDE)] * 20]}
    monstrous = api.post("/v1/tasks/batch", json=batch)

    assert monstrous.status_code == 422
    assert re.fullmatch(r"/items/\d+/schedule", str(pointers(monstrous)[0]))
    assert api.items("/v1/tasks") == []


def test_the_writer_refuses_a_costly_schedule_as_well(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rota.store.tasks.registration.FOR_A_REGISTRATION", 100)
    monkeypatch.setattr("rota.store.tasks.registration.for_a_batch", lambda _: 500)

    alone = api.post("/v1/tasks", json=task(WIDE))
    batch = api.post("/v1/tasks/batch", json={"items": [task(YEARLY), task(WIDE)]})

    assert (alone.status_code, pointers(alone)) == (422, ["/schedule"])
    assert (batch.status_code, pointers(batch)) == (422, ["/items/1/schedule"])


def test_a_patch_that_makes_it_costly_is_refused_and_changes_nothing(
    api: Api, few_steps: None
) -> None:
    api.post("/v1/tasks", json=task(YEARLY, name="t"))

    refused = api.patch("/v1/tasks/t", json={"schedule": WIDE})

    assert (refused.status_code, pointers(refused)) == (422, ["/schedule"])
    assert api.read("/v1/tasks/t")["schedule"]["type"] == "cron"


def test_the_response_to_a_stored_registration_leaves_out_costly_parts(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "AT_ONCE", 10)
    schedule = {"type": "any_of", "schedules": [YEARLY, YEARLY]}

    apart = api.post("/v1/tasks", json=task(schedule, name="apart"))
    within = api.post(
        "/v1/tasks", json=task(schedule, name="within"), headers={"Idempotency-Key": "k"}
    )
    monkeypatch.setattr(computing, "FOR_A_REQUEST", 10)
    nowhere = api.post("/v1/tasks", json=task(schedule, name="nowhere"))

    assert [each.status_code for each in (apart, within, nowhere)] == [201, 201, 201]
    assert len(apart.json()["upcoming"]) == 3
    for each in (within, nowhere):
        assert each.json()["upcoming"] == []
        assert [found["code"] for found in each.json()["warnings"]] == ["too_costly"]
        assert each.json()["next_fire_at"] is not None


def test_a_preview_that_takes_too_many_steps_is_refused(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(computing, "FOR_A_REQUEST", 50)

    refused = api.post("/v1/schedules/preview", json={"schedule": WIDE})

    assert (refused.status_code, pointers(refused)) == (422, ["/schedule"])


def test_the_worst_union_is_previewed_registered_and_listed_within_its_budgets(api: Api) -> None:
    assert api.post("/v1/schedules/preview", json={"schedule": WIDE}).json()["fire_times"] == []
    made = api.post("/v1/tasks", json=task(WIDE, name="wide")).json()
    backfill = {"from": "1970-01-01T00:00:00Z", "to": made["created_at"], "dry_run": True}

    assert [each["next_fire_at"] for each in api.items("/v1/tasks")] == [None]
    assert api.post("/v1/tasks/wide/backfill", json=backfill).json()["runs"] == 0
    assert api.read("/v1/tasks/wide/explain")["verdict"] == "not_due"


def test_without_a_free_slot_computing_is_refused_and_other_requests_are_served(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, leave = threading.Semaphore(0), threading.Event()

    def held(*_: Any) -> dict[str, Any]:
        entered.release()
        assert leave.wait(30)
        return {"fire_times": [], "description": "", "warnings": []}

    monkeypatch.setattr(preview, "_preview", held)
    api.app.state.services.computing._patience = 0.05
    request = {"json": {"schedule": YEARLY}}
    with ThreadPoolExecutor(computing.SLOTS) as clients:
        try:
            computed = [
                clients.submit(api.post, "/v1/schedules/preview", **request)
                for _ in range(computing.SLOTS)
            ]
            for _ in computed:
                assert entered.acquire(timeout=30)
            refused = [
                api.post("/v1/schedules/preview", **request),
                api.post("/v1/tasks", json=task(YEARLY, name="t")),
                api.get("/v1/tasks/t/explain"),
                api.get("/v1/tasks/t/upcoming"),
                api.get("/v1/tasks/t"),
                api.get("/readyz"),
            ]
        finally:
            leave.set()

    assert [each.status_code for each in refused] == [503, 201, 503, 503, 200, 200]
    assert refused[0].headers["retry-after"] == "1"
    assert problem(refused[0], 503, "unavailable")
    assert [each.result().status_code for each in computed] == [200] * computing.SLOTS
    assert eventually(lambda: api.post("/v1/schedules/preview", **request).status_code == 200)
