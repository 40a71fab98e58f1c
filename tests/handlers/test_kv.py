"""`ctx.kv` in handlers of every kind: reads, writes with the outcome, and checkpoints."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from rota.domain.kv.entries import KvChange, KvSnapshot
from rota.domain.kv.operations import Append, Check, Increment, Max
from rota.domain.kv.run_writes import Committed, KvWrites, OtherTable, TableWrites
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import (
    Cancelled,
    CheckpointResult,
    Conflicted,
    Failed,
    Fatal,
    Outcome,
    Succeeded,
)
from rota.errors import LeaseLost, NotFound, Sealed, Unavailable
from tests.handlers.bench import OTHER, Bench, started
from tests.support.factories import numbered

SAMPLES = Path(__file__).parent / "kv_samples.py"
KINDS = ["plays", "plays-sync", "plays-process", "plays-process-async"]
every_kind = pytest.mark.parametrize("kind", KINDS)

GET = {"do": "get", "args": ["count"]}
COMMIT: dict[str, Any] = {"do": "commit"}


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with started(SAMPLES) as made:
        yield made


def do(method: str, *args: Any, of: str | None = None, raises: bool = False, **options: Any) -> Any:
    step = {"do": method, "args": args, "with": options, "raises": raises}
    return step if of is None else step | {"of": of}


def play(bench: Bench, kind: str, *steps: Any, **calls: Any) -> Outcome:
    return bench.run(kind, json.dumps(steps), **calls)


def results(outcome: Outcome) -> Any:
    assert isinstance(outcome, Succeeded), outcome
    return json.loads(outcome.result)


def noted(
    notes: list[KvWrites], *answers: CheckpointResult
) -> Callable[[KvWrites], CheckpointResult]:
    """Return a `commit_kv` that records the writes, and returns the results in turn."""
    left = list(answers)

    def commit(work: KvWrites) -> CheckpointResult:
        notes.append(work)
        return left.pop(0)

    return commit


@every_kind
def test_handlers_have_all_operations_of_the_http_api(bench: Bench, kind: str) -> None:
    outcome = play(
        bench,
        kind,
        do("set_once", "count", 0),
        do("set_once", "once", 1, ttl="1m"),
        do("increment", "hits"),
        do("increment", "hits", 2.5),
        do("append", "log", "x", max_length=1),
        do("max", "high", 7),
        do("expire", "name", "1h"),
        do("get_many", ["count", "once", "never"]),
        do("keys", start="h", end="n"),
        do("items", "h"),
        do("version", "count"),
        do("version", "once"),
    )

    assert results(outcome) == [
        False,
        True,
        1,
        3.5,
        ["x"],
        7,
        None,
        {"count": 41, "once": 1},
        ["high", "hits", "log"],
        [["high", 7], ["hits", 3.5]],
        7,
        None,
    ]
    assert isinstance(outcome, Succeeded)
    assert outcome.kv_revision == 7
    assert outcome.changes == (
        KvChange("once", b"1", timedelta(minutes=1)),
        Increment("hits", 1),
        Increment("hits", 2.5),
        Append("log", b'"x"', 1),
        Max("high", b"7"),
        KvChange("name", b'"Ada"', timedelta(hours=1), replaces=True),
    )


@every_kind
def test_bytes_have_a_content_type(bench: Bench, kind: str) -> None:
    outcome = play(
        bench,
        kind,
        {"do": "set", "args": ["photo"], "bytes": "raw", "with": {"content_type": "image/png"}},
        do("get", "photo"),
        {"do": "set", "args": ["photo"], "bytes": "raw", "raises": True},
        do("set", "photo", "text", content_type="image/png", raises=True),
        do("set", "photo", "text", content_type="no type", raises=True),
    )

    assert results(outcome) == [None, "raw", "NotJson", "Invalid", "Invalid"]
    assert isinstance(outcome, Succeeded)
    assert outcome.changes == (KvChange("photo", b"raw", content_type="image/png"),)


@every_kind
def test_entries_are_removed_by_prefix(bench: Bench, kind: str) -> None:
    outcome = play(
        bench, kind, do("set", "co", 1), do("delete_prefix", "co"), do("keys"), do("delete", "x")
    )

    assert results(outcome) == [None, 2, ["name"], None]
    assert isinstance(outcome, Succeeded)
    assert outcome.changes == (
        KvChange("co", None),
        KvChange("count", None, replaces=True),
        KvChange("x", None),
    )


@every_kind
def test_a_check_raises_at_once_and_goes_with_the_outcome(bench: Bench, kind: str) -> None:
    outcome = play(
        bench,
        kind,
        do("check", "count", version=7),
        do("check", "name", value="Ada"),
        do("check", "never", absent=True),
        do("check", "count", version=6, raises=True),
        do("check", "count", absent=True, raises=True),
        do("check", "name", value=None, raises=True),
        do("check", "name", raises=True),
        do("check", "name", absent=True, version=1, raises=True),
    )

    assert results(outcome)[3:] == ["CheckFailed"] * 3 + ["Invalid"] * 2
    assert isinstance(outcome, Succeeded)
    assert outcome.changes == (
        Check("count", 7),
        Check("name", None, b'"Ada"'),
        Check("never"),
    )


@pytest.mark.parametrize(
    "step",
    [
        do("set", "_own", 1),
        do("increment", "transaction"),
        do("append", "name", 1),
        do("increment", "name"),
        do("increment", "count", "1"),
        do("increment", "count", True),
        do("append", "log", 1, max_length=0),
        do("set", "a", 1, ttl=0),
        do("expire", "never", 1),
        do("delete_prefix", ""),
        do("max", "name", 1),
    ],
)
def test_an_impossible_operation_raises_at_its_call(bench: Bench, step: Any) -> None:
    outcome = play(bench, "plays", step | {"raises": True})

    assert results(outcome) == ["Invalid"]
    assert isinstance(outcome, Succeeded)
    assert outcome.changes == ()


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


@every_kind
def test_another_task_s_table_is_read_and_written(bench: Bench, kind: str) -> None:
    opened: list[str] = []

    def open_kv(task: str) -> OtherTable:
        opened.append(task)
        return OTHER

    outcome = play(
        bench,
        kind,
        do("get", "stock", of="shop"),
        do("increment", "stock", -1, of="shop"),
        do("set", "by", "me", of="shop"),
        do("items", of="shop"),
        do("get", "stock"),
        open_kv=open_kv,
    )

    assert results(outcome) == [10, 9, None, [["by", "me"], ["stock", 9]], None]
    assert opened == ["shop"]
    assert isinstance(outcome, Succeeded)
    assert outcome.changes == ()
    changes = (Increment("stock", -1), KvChange("by", b'"me"'))
    assert outcome.others == (TableWrites(numbered(7), "shop", changes, 4),)


@every_kind
def test_a_write_to_an_unread_table_of_another_task_reads_it_first(bench: Bench, kind: str) -> None:
    outcome = play(bench, kind, do("set", "by", 1, of="shop"))

    assert isinstance(outcome, Succeeded)
    assert outcome.others[0].revision == 4


@every_kind
@pytest.mark.parametrize("catches", [True, False])
@pytest.mark.parametrize("step", [do("set", "a", 1), do("increment", "a"), do("delete", "a")])
def test_a_write_without_a_grant_fails_the_run(
    bench: Bench, kind: str, catches: bool, step: Any
) -> None:
    outcome = play(
        bench,
        kind,
        do("get", "stock", of="shop"),
        step | {"of": "shop", "raises": catches},
        open_kv=lambda _: replace(OTHER, granted=False),
    )

    assert isinstance(outcome, Fatal)
    assert outcome.error.type == "kv.not_granted"
    assert "'shop'" in outcome.error.message
    assert "'some-task'" in outcome.error.message


@every_kind
def test_the_table_of_the_own_task_is_the_own_table(bench: Bench, kind: str) -> None:
    outcome = play(bench, kind, do("set", "a", 1, of="some-task"), do("get", "a"))

    assert results(outcome) == [None, 1]
    assert isinstance(outcome, Succeeded)
    assert outcome.changes == (KvChange("a", b"1"),)


@every_kind
def test_an_unknown_task_is_not_found(bench: Bench, kind: str) -> None:
    def open_kv(task: str) -> OtherTable:
        raise NotFound(f"There is no task {task!r}.")

    outcome = play(
        bench,
        kind,
        do("get", "a", of="missing", raises=True),
        do("set", "a", 1, of="missing", raises=True),
        open_kv=open_kv,
    )

    assert results(outcome) == ["NotFound"] * 2


@every_kind
def test_a_checkpoint_commits_all_tables_and_renews_their_snapshots(
    bench: Bench, kind: str
) -> None:
    notes: list[KvWrites] = []
    found = [OTHER, replace(OTHER, snapshot=KvSnapshot({"stock": b"8"}, 6))]

    outcome = play(
        bench,
        kind,
        do("increment", "stock", -1, of="shop"),
        do("set", "a", 1),
        COMMIT,
        do("increment", "stock", -1, of="shop"),
        open_kv=lambda _: found.pop(0),
        commit_kv=noted(notes, Committed(11)),
    )

    shared = TableWrites(numbered(7), "shop", (Increment("stock", -1),), 4)
    assert notes == [KvWrites((KvChange("a", b"1"),), 5, (shared,))]
    assert results(outcome) == [9, None, None, 7]
    assert isinstance(outcome, Succeeded)
    assert outcome.others == (replace(shared, revision=6),)


@pytest.mark.parametrize("kind", ["asks-at-once", "asks-at-once-process"])
def test_concurrent_requests_each_get_their_own_answer(bench: Bench, kind: str) -> None:
    assert results(bench.run(kind)) == [41, 10]


@every_kind
def test_a_table_that_cannot_be_decrypted_fails_the_attempt_as_sealed(
    bench: Bench, kind: str
) -> None:
    def load() -> KvSnapshot:
        raise Sealed("no key opens 'a'")

    assert play(bench, kind, GET, load_kv=load) == Failed(RunError("sealed", "no key opens 'a'"))


@every_kind
def test_a_run_can_write_as_much_at_once_as_a_table_can_have(kind: str) -> None:
    limits = {"max_value_bytes": 262_144, "max_kv_bytes": 16_777_216}
    with started(SAMPLES, **limits) as bench:
        # As JSON it is three times as long, on its way from a process.
        outcome = play(bench, kind, *(do("set", f"k{each}", "é" * 130_000) for each in range(60)))

    assert isinstance(outcome, Succeeded), outcome
    assert len(outcome.changes) == 60
