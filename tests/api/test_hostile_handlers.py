"""Handlers that misbehave: an honest end for their run, and other tasks on time meanwhile."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.api.service import Api, serving
from tests.support.databases import ENGINES
from tests.support.factories import eventually

ONE_TRY = {"max_attempts": 1}
# A neighbour that starts later than this has been kept waiting.
LATE = 2.0


@pytest.fixture(scope="module", params=ENGINES[:1])
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One service for all of them: each must leave it as able as it found it."""
    folder = tmp_path_factory.mktemp("hostile")
    shutil.copyfile(request.getfixturevalue("sqlite_template"), folder / "rota.db")
    handlers = str(Path(__file__).with_name("hostile.py"))
    url = f"sqlite:///{folder / 'rota.db'}"
    with serving(url, handlers=(handlers, "tests.api.handlers"), process_concurrency=2) as made:
        yield made


def outcome(api: Api, handler: str, **fields: Any) -> dict[str, Any]:
    """Run a hostile handler and a neighbour at the same time; return the run of the hostile one."""
    api.task("neighbour", handler="echo", overlap_policy="allow")
    api.task(handler, handler=handler, retry=ONE_TRY, **fields)
    run = api.run(handler)
    at = datetime.now(UTC) + timedelta(seconds=0.2)
    beside = api.ended(api.run("neighbour", scheduled_for=at.isoformat()))
    assert beside["status"] == "succeeded"
    assert 0 <= beside["lateness"] < LATE
    return api.ended(run)


@pytest.mark.parametrize(
    "kind",
    [
        "returns-set",
        "returns-nan",
        "returns-surrogate",
        "returns-nul",
        "returns-cycle",
        "returns-deep",
        "returns-self",
    ],
)
def test_a_result_that_is_not_json_fails_the_run(api: Api, kind: str) -> None:
    run = outcome(api, kind)

    assert (run["status"], run["reason"], run["result"]) == ("failed", "error", None)
    assert run["error"]["type"] == "result.not_json"
    assert api.items(f"/v1/tasks/{kind}/kv") == []


def test_a_result_that_is_too_large_fails_the_run(api: Api) -> None:
    run = outcome(api, "returns-megabytes")

    assert (run["status"], run["error"]["type"]) == ("failed", "result.too_large")
    assert "1048576" in run["error"]["message"]


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("raises", "RuntimeError"),
        ("raises-system-exit", "SystemExit"),
        ("raises-interrupt", "KeyboardInterrupt"),
        ("raises-cancelled", "asyncio.exceptions.CancelledError"),
        ("raises-unspeakable", "_UnspeakableError"),
        ("raises-megabyte", "ValueError"),
        ("recurses", "RecursionError"),
    ],
)
def test_any_exception_fails_the_run(api: Api, kind: str, error: str) -> None:
    run = outcome(api, kind)

    assert (run["status"], run["reason"]) == ("failed", "error")
    assert run["error"]["type"].endswith(error.rpartition(".")[2])
    assert len(run["error"]["message"]) < 10_000
    assert len(run["error"]["traceback"] or "") < 20_000


def test_output_is_kept_up_to_a_limit(api: Api) -> None:
    run = outcome(api, "prints-megabyte")

    lines = api.items(f"/v1/runs/{run['id']}/logs?limit=200")
    assert run["status"] == "succeeded"
    assert 0 < sum(len(line["message"]) for line in lines) <= 70_000


def test_output_that_no_database_can_store_does_not_fail_the_run(api: Api) -> None:
    run = outcome(api, "prints-rubbish")

    (line,) = api.items(f"/v1/runs/{run['id']}/logs")
    assert run["status"] == "succeeded"
    assert "before" in line["message"]


@pytest.mark.parametrize("kind", ["hangs", "hangs-in-thread", "hangs-in-process", "ignores-cancel"])
def test_a_handler_that_never_returns_times_out(api: Api, kind: str) -> None:
    run = outcome(api, kind, timeout=0.5)

    assert (run["status"], run["reason"]) == ("failed", "timeout")
    assert run["attempts"][-1]["outcome"] == "timed_out"
    assert run["error"]["type"] == "timeout"
    assert run["duration"] < 5


def test_a_handler_that_blocks_its_loop_times_out_and_does_not_block_the_service(api: Api) -> None:
    api.task("other", handler="in-thread")
    api.task("blocks", handler="blocks", retry=ONE_TRY, timeout=0.5)
    run = api.run("blocks")

    beside = api.ended(api.run("other"))
    assert beside["status"] == "succeeded"
    assert beside["lateness"] < LATE
    assert api.ended(run)["reason"] == "timeout"


def test_a_handler_that_blocks_its_loop_for_good_does_not_end_the_others(api: Api) -> None:
    api.task("blocks", handler="blocks-for-good", retry=ONE_TRY, timeout=0.5)
    blocked = api.run("blocks")
    api.task("neighbour", handler="echo", overlap_policy="allow")

    beside = api.ended(api.run("neighbour"))

    assert api.ended(blocked)["reason"] == "timeout"
    assert (beside["status"], beside["failures"]) == ("succeeded", 0)
    assert api.ended(api.run("neighbour"))["lateness"] < LATE


@pytest.mark.parametrize("kind", ["exits", "kills-itself", "segfaults"])
def test_a_handler_whose_process_dies_fails_the_attempt(api: Api, kind: str) -> None:
    run = outcome(api, kind)

    assert run["status"] == "failed"
    assert run["error"] is not None
    assert "process" in run["error"]["message"]


def test_a_hanging_run_is_cancelled_by_request(api: Api) -> None:
    api.task("hangs-in-process", handler="hangs-in-process", timeout=60)
    run = api.run("hangs-in-process")
    eventually(lambda: api.read(f"/v1/runs/{run['id']}")["status"] == "running")

    api.post(f"/v1/runs/{run['id']}/cancel")

    ended = api.ended(run)
    assert (ended["status"], ended["reason"]) == ("cancelled", "requested")


def test_a_run_with_a_forbidden_write_fails_and_writes_nothing(api: Api) -> None:
    for kind in ("writes-reserved", "writes-megabyte"):
        run = outcome(api, kind)

        assert run["status"] == "failed", run
        assert api.items(f"/v1/tasks/{kind}/kv") == []
