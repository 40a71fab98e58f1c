"""Checkpoints of `ctx.kv` in handlers of every kind."""

import threading
from typing import Any

import pytest

from rota.domain.kv.entries import KvChange, KvSnapshot
from rota.domain.kv.operations import Increment
from rota.domain.kv.run_writes import Committed, KvWrites
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import (
    Cancelled,
    CheckpointResult,
    Conflicted,
    Failed,
    Fatal,
    Succeeded,
)
from rota.errors import LeaseLost, Unavailable
from tests.handlers.bench import Bench
from tests.handlers.kv.steps import COMMIT, GET, do, every_kind, noted, play, results


@every_kind
def test_a_checkpoint_commits_the_writes_and_later_ones_start_from_it(
    bench: Bench, kind: str
) -> None:
    notes: list[KvWrites] = []
    snapshots = [
        KvSnapshot({"count": b"41"}, 7),
        KvSnapshot({"count": b"42", "theirs": b"1"}, 12),
    ]

    outcome = play(
        bench,
        kind,
        GET,
        do("increment", "count"),
        do("set", "a", 1),
        COMMIT,
        do("get", "theirs"),
        do("get", "a"),
        do("set", "b", 2),
        load_kv=lambda: snapshots.pop(0),
        commit_kv=noted(notes, Committed(11)),
    )

    assert notes == [KvWrites((Increment("count", 1), KvChange("a", b"1")), 7)]
    assert results(outcome) == [41, 42, None, None, 1, None, None]
    assert isinstance(outcome, Succeeded)
    assert (outcome.changes, outcome.kv_revision) == ((KvChange("b", b"2"),), 12)


@every_kind
def test_writes_without_a_read_after_a_checkpoint_refer_to_its_revision(
    bench: Bench, kind: str
) -> None:
    notes: list[KvWrites] = []

    outcome = play(
        bench,
        kind,
        do("set", "a", 1),
        COMMIT,
        do("set", "a", 2),
        COMMIT,
        do("set", "a", 3),
        commit_kv=noted(notes, Committed(11), Committed(12)),
    )

    assert [work.revision for work in notes] == [5, 11]
    assert isinstance(outcome, Succeeded)
    assert (outcome.changes, outcome.kv_revision) == ((KvChange("a", b"3"),), 12)


@every_kind
def test_a_checkpoint_without_writes_only_renews_the_snapshot(bench: Bench, kind: str) -> None:
    snapshots = [KvSnapshot({"count": b"1"}, 7), KvSnapshot({"count": b"2"}, 8)]

    outcome = play(
        bench, kind, GET, COMMIT, GET, load_kv=lambda: snapshots.pop(0), commit_kv=noted([])
    )

    assert results(outcome) == [1, None, 2]


VERDICTS = [
    (Conflicted("a"), "KvConflict"),
    (Conflicted("a", "stock"), "KvConflict"),
    (Failed(RunError("kv.full", "no room")), "KvRefused"),
    (Fatal(RunError("kv.not_granted", "no grant")), "KvRefused"),
]


@every_kind
@pytest.mark.parametrize(("verdict", "raised"), VERDICTS)
@pytest.mark.parametrize("catches", [True, False])
def test_the_result_of_a_refused_checkpoint_is_the_outcome_of_the_attempt(
    bench: Bench, kind: str, verdict: Any, raised: str, catches: bool
) -> None:
    """Even if the handler catches the exception and continues."""
    point = COMMIT | {"raises": catches}

    assert play(bench, kind, do("set", "a", 1), point, GET, commit_kv=noted([], verdict)) == verdict


@every_kind
def test_a_checkpoint_of_a_run_with_a_cancel_request_ends_it(bench: Bench, kind: str) -> None:
    outcome = play(
        bench, kind, do("set", "a", 1), COMMIT | {"raises": True}, commit_kv=noted([], Cancelled())
    )

    assert outcome == Cancelled()


@every_kind
@pytest.mark.parametrize("error", [LeaseLost("not ours"), Unavailable("no database")])
def test_a_checkpoint_without_a_result_raises_and_nothing_is_written_after_it(
    bench: Bench, kind: str, error: Exception
) -> None:
    def commit(_: KvWrites) -> CheckpointResult:
        raise error

    name = type(error).__name__
    uncaught = play(bench, kind, do("set", "a", 1), COMMIT, commit_kv=commit)
    caught = play(bench, kind, do("set", "a", 1), COMMIT | {"raises": True}, GET, commit_kv=commit)

    assert isinstance(uncaught, Failed)
    assert uncaught.error.type == f"rota.errors.{name}"
    assert isinstance(caught, Failed)
    assert caught.error.type == "kv.commit"


def test_a_write_during_a_checkpoint_is_refused(bench: Bench) -> None:
    go_on = threading.Event()

    def commit(_: KvWrites) -> CheckpointResult:
        assert go_on.wait(20)
        return Committed(9)

    running = bench.begin("writes-while-it-commits", commit_kv=commit)
    go_on.set()

    assert "has not ended" in results(running.outcome())


def test_an_abandoned_checkpoint_fails_the_attempt(bench: Bench) -> None:
    go_on = threading.Event()

    def commit(_: KvWrites) -> CheckpointResult:
        assert go_on.wait(20)
        return Committed(9)

    outcome = bench.run("gives-up-a-commit", commit_kv=commit)
    go_on.set()

    assert isinstance(outcome, Failed)
    assert outcome.error.type == "kv.commit"
