"""Runs as tests see them."""

import asyncio

import pytest

from rota import Context, SyncContext, handler
from rota.testing import Driver, RunFailed
from tests.testing.samples import (
    DAILY,
    EXACT,
    HOURLY,
    START,
    at,
    count,
    raises,
)


def test_large_inputs_and_results_are_complete() -> None:
    @handler("echo")
    async def echo(ctx: Context, input: str) -> str:
        return input

    with Driver() as driver:
        driver.register("t", handler=echo, schedule={"type": "manual"}, input="x" * 100_000)
        driver.run("t")

        (run,) = driver.runs("t")
        assert run.input == run.result == "x" * 100_000


def test_what_pytest_shows_of_a_run_and_of_an_attempt_has_the_error() -> None:
    @handler("breaks")
    async def breaks(ctx: Context) -> None:
        raise ValueError("the ledger is locked" + 3_000 * " by another job")

    driver = Driver(now=START)
    driver.register("a-task-with-a-rather-long-name" * 3, handler=breaks, retry=EXACT)
    run = driver.run("a-task-with-a-rather-long-name" * 3)

    with pytest.raises(AssertionError) as of_run:
        assert run.result
    with pytest.raises(AssertionError) as of_attempt:
        assert driver.attempts(run)[0].finished_at is None

    assert repr(run).startswith("RunView(status='failed', error='ValueError: the ledger is locked")
    assert len(repr(run)) <= 240
    assert "error='ValueError: the ledger is locked" in str(of_run.value)
    assert "reason='attempts_exhausted'" in str(of_run.value)
    assert "error='ValueError: the ledger is locked" in str(of_attempt.value)


@pytest.mark.parametrize("input", [["error"] * 3, ["fail"]])
def test_a_checked_run_raises_with_the_error(input: list[str]) -> None:
    driver = Driver(now=START)
    driver.register("t", handler=raises, input=input, retry=EXACT)

    with pytest.raises(RunFailed) as failed:
        driver.run("t", check=True)

    shown = {
        "error": "(attempts_exhausted): ValueError: broken",
        "fail": "(fatal): fail: no such customer",
    }
    head, *rest = str(failed.value).splitlines()
    assert head == f"the run of 't' at 2026-03-01T00:00:00Z is failed {shown[input[0]]}"
    assert any('raise ValueError("broken")' in line for line in rest) == (input[0] == "error")
    assert failed.value.run.status == "failed"


def test_a_checked_run_that_was_cancelled_did_not_succeed_either() -> None:
    @handler("cancels-itself")
    def cancels_itself(ctx: SyncContext) -> None:
        driver.cancel(ctx.run_id)
        raise asyncio.CancelledError

    driver = Driver(now=START)
    driver.register("t", handler=cancels_itself)

    with pytest.raises(RunFailed, match=r"is cancelled \(requested\): asyncio.*CancelledError\n"):
        driver.run("t", check=True)


def test_a_checked_run_that_succeeds_is_returned() -> None:
    driver = Driver()
    driver.register("t", handler=raises, input=["error", 7])

    assert driver.run("t", check=True).result == 7


def test_a_checked_advance_raises_with_the_first_run_that_fails() -> None:
    driver = Driver(now=START)
    driver.register("good", handler=count, schedule=HOURLY)
    driver.register("bad", handler=raises, input=["fail"], schedule=DAILY)

    driver.advance("8h", check=True)
    with pytest.raises(RunFailed, match="the run of 'bad' at 2026-03-01T09:00:00Z is failed"):
        driver.advance_to(at("03-03T12:00"), check=True)

    assert driver.now == at("03-03T12:00")
    driver.advance("20h", check=True)  # earlier failures were raised then


def test_the_timeout_of_a_run_shows_the_error_of_its_last_attempt() -> None:
    driver = Driver(now=START)
    driver.register("t", handler=raises, input=["retry", 1])

    with pytest.raises(TimeoutError, match="still queued; its last attempt: retry: the feed is"):
        driver.run("t", within="1m")
