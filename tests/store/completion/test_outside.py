"""Attempts that continue outside of Rota: handed off, extended, completed and expired, each only until it has ended."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, select

from rota.db import tables
from rota.domain.effects import DueSooner, OutsideAttemptEnded
from rota.domain.http_target.outcome_document import OutcomeIn
from rota.domain.kv.entries import DEFAULT_LIMITS
from rota.domain.primitives.ids import Id, random_id
from rota.domain.runs.errors import RunError
from rota.domain.runs.model import ClaimedRun, Progress
from rota.domain.runs.outcomes import (
    AttemptOutcome,
    Failed,
    Outcome,
    Released,
    RetryRequested,
    Succeeded,
)
from rota.domain.runs.settlement import Settlement
from rota.domain.runs.status import RunStatus
from rota.errors import LeaseLost
from rota.store.completion.complete import Complete
from rota.store.completion.expiry import ExpireLeases, ForgiveSilence, next_expiry
from rota.store.completion.finish import Reap
from rota.store.completion.handoff import HandOff, Heartbeat
from rota.store.completion.reported import reported
from rota.store.handlers import Announce, HandlerInfo
from rota.store.replicas import LONGEST_TTL, database_time
from rota.store.runs.cancellation import CANCEL_GRACE
from rota.store.runs.claiming.claim import ReleaseDelayed, held_runs, leased_run
from rota.store.runs.claiming.tokens import Grant, find_grant, hash_of, new_token
from rota.store.tasks.retention import RemoveRuns
from rota.store.tasks.run_commands import CancelRun
from tests.support.factories import HOUR, LONG_AGO, MINUTE, World, together

AGAIN = RetryRequested(timedelta(0), RunError("retry", "later"))
ONE = Succeeded("1")


class Outside:
    """A world with the task `t`, whose target completes its runs later."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.do(Announce((_http(),)))
        world.holder = world.enlist("http")

    def start(self, name: str = "t", **fields: Any) -> ClaimedRun:
        """Declare the task and start a run of it."""
        target = {"url": "http://127.0.0.1/jobs", "async": True}
        kind = {"handler": "http", "target": target, "schedule": {"type": "manual"}}
        self.world.register(name, on_conflict="update", **kind | fields)
        made = self.world.run_now(name)
        return next(run for run in self.claim() if run.id == made.id)

    def claim(self) -> list[ClaimedRun]:
        return self.world.claim(handlers=("http",))

    def hand_off(self, run: ClaimedRun, holder: Id | None = None) -> ClaimedRun:
        self.world.do(
            HandOff(run_id=run.id, attempt=run.attempt, holder=holder or self.world.holder)
        )
        return run

    def begun(self, **fields: Any) -> ClaimedRun:
        """Return a run whose attempt continues outside."""
        return self.hand_off(self.start(**fields))

    def grant(self, run: ClaimedRun) -> Grant:
        found = self.world.read(find_grant, run.id, run.token)
        assert found is not None
        return found

    def complete(self, run: ClaimedRun, outcome: Outcome = ONE) -> Settlement:
        return self.world.do(Complete(run=run, holder=None, outcome=outcome))

    def beat(self, run: ClaimedRun, progress: Progress | None = None) -> Any:
        return self.world.do(Heartbeat(grant=self.grant(run), progress=progress))

    def end_lease(self, run: ClaimedRun) -> None:
        """Let the lease of an attempt be over, by whichever clock."""
        with self.world.transaction() as tx:
            of_run = tables.run.update().where(tables.run.c.id == run.id)
            tx.connection.execute(of_run.values(lease_expires_at=LONG_AGO))

    def end_lease_now(self, run: ClaimedRun) -> None:
        """Let the lease of an attempt be over since this moment."""
        with self.world.transaction() as tx:
            of_run = tables.run.update().where(tables.run.c.id == run.id)
            tx.connection.execute(of_run.values(lease_expires_at=database_time(tx)))

    def expire(self) -> int:
        return self.world.do(ExpireLeases(100))

    def row(self, run: ClaimedRun) -> Any:
        return self.world.read(
            lambda connection: connection.execute(
                select(tables.run).where(tables.run.c.id == run.id)
            ).one()
        )


@pytest.fixture
def outside(world: World) -> Outside:
    return Outside(world)


def outcomes(world: World, run: ClaimedRun) -> list[AttemptOutcome | None]:
    return [each.outcome for each in world.attempts(run.id)]


# ------------------------------------------------------------------------------------------------------ tokens
def test_a_token_is_stored_as_a_hash_in_the_commit_that_starts_the_attempt(
    outside: Outside,
) -> None:
    run = outside.start(timeout=120, heartbeat_timeout=30)

    grant = outside.grant(run)
    assert (grant.run_id, grant.attempt, grant.kv_revision) == (run.id, 1, run.kv_revision)
    assert grant.token_hash == hash_of(run.token) != run.token
    assert grant.silence_ms == 30_000
    with outside.world.transaction() as tx:
        left = grant.deadline_at - database_time(tx)
    assert timedelta(seconds=100) < left <= timedelta(seconds=120)
    assert run.token not in repr(run)
    assert outside.row(run).lease_token_hash is None


def test_only_attempts_whose_target_completes_them_later_have_a_token(outside: Outside) -> None:
    run = outside.start(target={"url": "http://127.0.0.1/jobs"})

    assert run.token == ""
    assert outside.world.count(tables.attempt_token) == 0
    with pytest.raises(LeaseLost):
        outside.hand_off(run)
    assert outside.world.run(run.id).status is RunStatus.RUNNING


def test_a_token_is_good_for_its_own_run_only(outside: Outside) -> None:
    run, other = outside.begun(), outside.begun(name="other")
    found = outside.world.read

    assert found(find_grant, run.id, new_token()) is None
    assert found(find_grant, other.id, run.token) is None
    assert found(find_grant, random_id(), run.token) is None
    assert found(find_grant, run.id, run.token) == outside.grant(run)


def test_tokens_are_removed_with_their_runs(outside: Outside) -> None:
    run = outside.begun()
    outside.complete(run)

    outside.world.do(RemoveRuns((run.id,)))

    assert outside.world.count(tables.attempt_token) == 0


# ---------------------------------------------------------------------------------------------------- hand-off
def test_after_the_hand_off_the_token_holds_the_run_and_no_process_does(outside: Outside) -> None:
    run = outside.begun(timeout=300)

    row = outside.row(run)
    assert (row.status, row.holder, row.attempt) == ("running", None, 1)
    assert row.lease_token_hash == hash_of(run.token)
    assert row.lease_expires_at == outside.grant(run).deadline_at
    assert outside.world.read(held_runs, outside.world.holder) == []
    assert any(isinstance(each, DueSooner) for each in outside.world.effects)


def test_neither_the_end_of_its_process_nor_the_reaper_concerns_an_attempt_outside(
    outside: Outside,
) -> None:
    run = outside.begun()
    world = outside.world
    world.end_lease(world.holder)

    assert world.do(Reap()) == 0

    world.enlist("http")
    assert world.run(run.id).status is RunStatus.RUNNING
    assert outside.complete(run).status is RunStatus.SUCCEEDED


def test_an_attempt_whose_process_ends_before_the_202_can_be_completed_until_it_is_reaped(
    outside: Outside,
) -> None:
    world, run = outside.world, outside.start()
    world.end_lease(world.holder)

    assert outside.complete(run).status is RunStatus.SUCCEEDED

    assert world.do(Reap()) == 0
    assert world.run(run.id).result == "1"


def test_an_attempt_that_was_reaped_before_the_202_is_another_s(outside: Outside) -> None:
    world, run = outside.world, outside.start()
    world.end_lease(world.holder)
    world.do(Reap())
    world.holder = world.enlist("http")
    (again,) = outside.claim()

    with pytest.raises(LeaseLost):
        outside.complete(run)
    with pytest.raises(LeaseLost):
        outside.hand_off(run)

    assert again.token != run.token
    assert outside.complete(outside.hand_off(again)).status is RunStatus.SUCCEEDED
    assert outcomes(world, run) == [AttemptOutcome.LOST, AttemptOutcome.SUCCEEDED]


def test_only_the_process_that_holds_an_attempt_hands_it_off(outside: Outside) -> None:
    run = outside.start()

    with pytest.raises(LeaseLost):
        outside.hand_off(run, holder=random_id())

    assert outside.row(run).lease_token_hash is None


# ------------------------------------------------------------------------------------------------- completions
@pytest.mark.parametrize("late", ["hand-off", "failure", "release"])
def test_a_completion_before_the_response_counts_and_the_process_writes_nothing_any_more(
    outside: Outside, late: str
) -> None:
    world, run = outside.world, outside.start()
    outside.complete(run)
    writes = {
        "hand-off": lambda: outside.hand_off(run),
        "failure": lambda: world.end(run, Failed(RunError("http.status", "503"))),
        "release": lambda: world.end(run, Released()),
    }

    with pytest.raises(LeaseLost):
        writes[late]()

    assert world.run(run.id).result == "1"
    assert outcomes(world, run) == [AttemptOutcome.SUCCEEDED]


def test_a_completion_is_written_once(outside: Outside) -> None:
    run = outside.begun()
    outside.complete(run)

    with pytest.raises(LeaseLost):
        outside.complete(run, Succeeded("2"))

    row = outside.row(run)
    assert (row.result, row.lease_token_hash, row.lease_expires_at) == ("1", None, None)
    ended = [e for e in outside.world.effects if isinstance(e, OutsideAttemptEnded)]
    assert [(each.id, each.task, each.attempt, each.handler) for each in ended] == [
        (run.id, "t", 1, "http")
    ]
    assert [each.settlement.status for each in ended] == ["succeeded"]


def test_of_several_completions_in_one_commit_one_is_accepted(outside: Outside) -> None:
    run = outside.begun()
    commands = [
        Complete(run=run, holder=None, outcome=Succeeded(str(number))) for number in range(5)
    ]

    requests = together(outside.world.writer, commands)

    refused = [request.exception() for request in requests if request.exception() is not None]
    assert len(refused) == 4
    assert all(isinstance(each, LeaseLost) for each in refused)


def test_the_token_of_an_earlier_attempt_completes_nothing(outside: Outside) -> None:
    first = outside.begun()
    outside.complete(first, AGAIN)
    outside.world.clock.advance(HOUR)
    outside.world.do(ReleaseDelayed(10))
    (second,) = map(outside.hand_off, outside.claim())

    with pytest.raises(LeaseLost):
        outside.complete(first)

    assert second.attempt == 2
    assert outside.grant(first).attempt == 1
    assert outside.world.read(leased_run, outside.grant(first)) is None
    assert outside.complete(second).status is RunStatus.SUCCEEDED


def test_a_completion_does_not_overlook_a_cancel(outside: Outside) -> None:
    run = outside.begun()
    outside.world.do(CancelRun(run.id))

    assert outside.complete(run, AGAIN).status is RunStatus.CANCELLED


def test_a_run_that_was_replaced_has_its_cancel_grace_only(outside: Outside) -> None:
    run = outside.begun(overlap_policy="replace", timeout=3_600)
    outside.world.run_now("t")

    beat = outside.beat(run)

    assert beat.cancel_requested
    assert beat.lease_expires_at < outside.grant(run).deadline_at - HOUR / 2


def test_nothing_is_completed_of_a_deleted_task(outside: Outside) -> None:
    run = outside.begun()
    outside.world.delete("t")

    assert outside.world.read(find_grant, run.id, run.token) is None


def test_what_is_reported_conflicts_with_writes_since_the_attempt_began(outside: Outside) -> None:
    world, run = outside.world, outside.begun()
    world.set("cursor", "mine")
    document = OutcomeIn.model_validate({"kv": [{"op": "set", "key": "cursor", "value": 1}]})
    leased = world.read(leased_run, outside.grant(run))
    assert leased is not None
    assert leased == replace(run, token="")

    made = world.read(reported, leased, document, DEFAULT_LIMITS, 1_000, world.now)

    assert outside.complete(leased, made).outcome is AttemptOutcome.CONFLICT
    assert world.entries() == {"cursor": "mine"}


# ------------------------------------------------------------------------------------------ heartbeats, expiry
def test_a_heartbeat_extends_by_the_heartbeat_timeout_up_to_the_deadline(outside: Outside) -> None:
    run = outside.begun(timeout=300, heartbeat_timeout=60)
    outside.end_lease(run)

    beat = outside.beat(run, Progress(0.5, "half"))

    grant = outside.grant(run)
    assert beat.lease_expires_at <= grant.deadline_at - 3 * MINUTE
    assert not beat.cancel_requested
    assert outside.world.run(run.id).progress == Progress(0.5, "half")
    assert grant.extended(grant.deadline_at) == grant.deadline_at
    assert outside.expire() == 0


def test_a_heartbeat_of_an_attempt_that_has_ended_changes_nothing(outside: Outside) -> None:
    run = outside.begun()
    outside.complete(run)

    with pytest.raises(LeaseLost):
        outside.beat(run, Progress(0.5, "late"))

    assert outside.world.run(run.id).progress is None


def test_a_heartbeat_of_an_earlier_attempt_changes_nothing(outside: Outside) -> None:
    first = outside.begun()
    outside.complete(first, AGAIN)
    outside.world.clock.advance(HOUR)
    outside.world.do(ReleaseDelayed(10))
    (second,) = map(outside.hand_off, outside.claim())

    with pytest.raises(LeaseLost):
        outside.beat(first, Progress(0.5, "late"))

    assert outside.world.run(second.id).progress is None


def test_silence_is_a_timeout_that_counts_and_is_retried(outside: Outside) -> None:
    run = outside.begun(heartbeat_timeout=60)
    outside.end_lease(run)

    assert outside.expire() == 1
    assert outside.expire() == 0

    ended = outside.world.run(run.id)
    assert (ended.status, ended.failures, ended.lease_expires_at) == (RunStatus.QUEUED, 1, None)
    (attempt,) = outside.world.attempts(run.id)
    assert (attempt.outcome, attempt.counted) == (AttemptOutcome.TIMED_OUT, True)
    assert attempt.error is not None
    assert attempt.error.type == "heartbeat"
    (effect,) = [e for e in outside.world.effects if isinstance(e, OutsideAttemptEnded)]
    assert (effect.id, effect.task, effect.attempt, effect.handler) == (run.id, "t", 1, "http")
    assert effect.settlement.outcome is AttemptOutcome.TIMED_OUT
    with pytest.raises(LeaseLost):
        outside.complete(run)


def test_a_silence_that_nobody_could_hear_is_forgiven_at_a_start(outside: Outside) -> None:
    world = outside.world
    quiet, unlimited = outside.begun(heartbeat_timeout=60), outside.begun(name="u")
    world.do(CancelRun(outside.begun(name="cancelled", heartbeat_timeout=60).id))
    outside.end_lease(quiet)
    outside.end_lease(unlimited)
    for each in list(world.read(_replicas)):
        if each != world.holder:
            world.end_lease(each)
            world.do(Reap())

    assert world.do(ForgiveSilence(world.holder, LONGEST_TTL)) == 1

    assert outside.expire() == 1
    assert world.run(quiet.id).status is RunStatus.RUNNING
    assert world.run(unlimited.id).status is RunStatus.QUEUED


def test_beside_another_replica_only_a_silence_that_nobody_has_ended_is_forgiven(
    outside: Outside,
) -> None:
    """The other one may be dead since a moment ago; if not, it has ended in time what it could not hear."""
    world = outside.world
    overdue, just_over, goes_on = (
        outside.begun(name=name, heartbeat_timeout=60) for name in ("overdue", "just", "on")
    )
    outside.end_lease(overdue)
    outside.end_lease_now(just_over)
    leases = [outside.row(run).lease_expires_at for run in (overdue, just_over, goes_on)]
    started = world.enlist("http")

    assert world.do(ForgiveSilence(started, LONGEST_TTL)) == 1

    after = [outside.row(run).lease_expires_at for run in (overdue, just_over, goes_on)]
    assert after[0] > leases[0] + HOUR
    assert after[1:] == leases[1:]


def test_a_silence_is_forgiven_beside_the_row_of_a_replica_that_has_not_renewed_its_lease(
    outside: Outside,
) -> None:
    world, run = outside.world, outside.begun(heartbeat_timeout=60)
    outside.end_lease_now(run)
    with world.transaction() as tx:
        soon = database_time(tx) + LONGEST_TTL / 2
        tx.connection.execute(tables.replica.update().values(lease_expires_at=soon))
    started = world.enlist("http")

    assert world.do(ForgiveSilence(started, LONGEST_TTL)) == 1


def test_an_attempt_whose_lease_continues_is_left_alone(outside: Outside) -> None:
    run = outside.begun(heartbeat_timeout=60)

    assert outside.expire() == 0
    left = outside.world.read(next_expiry, outside.world.now)
    assert left is not None
    assert timedelta(seconds=30) < left <= timedelta(seconds=60)
    assert outside.world.run(run.id).status is RunStatus.RUNNING


def test_an_attempt_that_a_process_executes_is_ended_by_no_lease(outside: Outside) -> None:
    run = outside.start(heartbeat_timeout=60)
    outside.beat(run)  # before the response of the target
    outside.end_lease(run)

    assert outside.expire() == 0
    assert outside.world.read(next_expiry, outside.world.now) is None


def test_a_cancel_shortens_the_lease_and_ends_the_run_when_that_has_expired(
    outside: Outside,
) -> None:
    run = outside.begun(timeout=3_600)
    before = outside.row(run).lease_expires_at
    outside.world.do(CancelRun(run.id))

    assert outside.row(run).lease_expires_at <= before - HOUR + CANCEL_GRACE + MINUTE
    outside.end_lease(run)
    assert outside.beat(run).cancel_requested
    assert outside.expire() == 1
    assert outside.world.run(run.id).status is RunStatus.CANCELLED


def test_a_cancel_before_the_202_leaves_the_grace_only(outside: Outside) -> None:
    run = outside.start(timeout=3_600)
    outside.world.do(CancelRun(run.id))

    outside.hand_off(run)

    assert outside.row(run).lease_expires_at < outside.grant(run).deadline_at - HOUR / 2


def test_an_extension_between_the_look_and_the_write_of_the_expiry_wins(outside: Outside) -> None:
    run = outside.begun(heartbeat_timeout=60)
    outside.end_lease(run)

    requests = together(
        outside.world.writer, [Heartbeat(grant=outside.grant(run)), ExpireLeases(100)]
    )

    assert requests[1].result() == 0
    assert outside.world.run(run.id).status is RunStatus.RUNNING


def _replicas(connection: Connection) -> list[Id]:
    return list(connection.execute(select(tables.replica.c.id)).scalars())


def _http() -> HandlerInfo:
    return HandlerInfo(
        name="http", description="", input_schema=None, timeout=None, isolation="none"
    )
