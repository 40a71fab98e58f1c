"""The pages of runs for keys that may not do everything."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.api.handlers import close_gate, wait_entered
from tests.api.keys.clients import ADMIN, bearer, made
from tests.api.service import Api, serving
from tests.support.factories import eventually
from tests.web.browser import Browser


@pytest.fixture(scope="module")
def api(another_database: Callable[[str], str]) -> Iterator[Api]:
    with serving(another_database("sqlite"), api_key=ADMIN, headers=bearer(ADMIN)) as service:
        service.task("ours-1", handler="swap", input={"key": "name", "value": "Ada"})
        service.task("theirs-1", handler="refuse")
        yield service


def signed_in(api: Api, **key: Any) -> Browser:
    browser = Browser(api)
    assert browser.send("/ui/sign-in", {"key": made(api, **key)["key"]}).status_code == 303
    return browser


def test_a_key_that_reads_runs_only_sees_a_run_without_its_kv(api: Api) -> None:
    run = api.ended(api.run("ours-1"))
    all_of_it, part = (
        signed_in(api, name=name, scopes=scopes).open(f"/ui/runs/{run['id']}")
        for name, scopes in (("all", ["runs:read", "kv:read"]), ("part", ["runs:read"]))
    )

    assert (all_of_it.status_code, part.status_code) == (200, 200)
    assert "What it changed in the kv" in all_of_it.text
    assert "What it changed in the kv" not in part.text


def test_a_key_of_some_tasks_sees_and_reruns_no_others(api: Api) -> None:
    run = api.ended(api.run("theirs-1"))
    browser = signed_in(api, name="ours", scopes=["runs:read", "runs:write"], tasks=["ours-"])

    for path in ("", "/rerun", "/revert"):
        assert browser.open(f"/ui/runs/{run['id']}{path}").status_code == 404
    assert run["id"] not in browser.open("/ui/runs").text
    assert "no such customer" not in browser.open("/ui/runs/failures").text
    stored = browser.send("/ui/runs/bulk", {"verb": "rerun", "status": "failed"})
    assert "Run again: 0 runs" in browser.open(stored.headers["location"]).text


def test_what_a_key_may_not_do_is_said(api: Api) -> None:
    run = api.ended(api.run("ours-1"))
    browser = signed_in(api, name="reader", scopes=["runs:read"])

    for path in (f"/ui/runs/{run['id']}/rerun", "/ui/runs/bulk"):
        answer = browser.send(path, {"verb": "rerun", "status": "failed"})
        assert answer.status_code == 403
        assert "does not have the scope runs:write" in answer.text


def test_an_operation_that_ended_with_its_key_says_so(api: Api) -> None:
    api.task("ours-held", handler="hold", overlap_policy="allow")
    for _ in range(2):
        cancel_running(api, "ours-held", api.run("ours-held")["id"])
    key = made(api, "runs:read", "runs:write", name="CI")
    asked = {"selector": {"task": ["ours-held"]}, "max_concurrent": 1}
    bulk = api.post("/v1/runs/rerun", json=asked, headers=bearer(key["key"])).json()["id"]

    assert eventually(lambda: api.items("/v1/runs?task=ours-held&trigger=rerun"))
    api.delete(f"/v1/keys/{key['id']}")
    [again] = api.items("/v1/runs?task=ours-held&trigger=rerun")
    cancel_running(api, "ours-held", again["id"])

    assert eventually(lambda: api.read(f"/v1/bulk/{bulk}")["status"] == "cancelled")
    reason = f"The key {key['id']} (CI) was revoked."
    browser = signed_in(api, name="reader", scopes=["runs:read"])
    assert f"Nobody asked for that: {reason}" in browser.page(f"/ui/runs/bulk/{bulk}").text
    assert reason in browser.page("/ui/runs/bulk").text


def cancel_running(api: Api, task: str, id: str) -> None:
    wait_entered(task)
    api.post(f"/v1/runs/{id}/cancel")
    assert eventually(lambda: api.read(f"/v1/runs/{id}")["finished_at"] is not None)
    close_gate(task)
