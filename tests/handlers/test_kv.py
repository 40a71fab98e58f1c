"""`ctx.kv` in handlers of every kind: what they see, what goes with their outcome, and what check-points make of it."""

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
from rota.domain.kv.run_writes import Committed, KvWork, OtherTable, TableChanges
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


def said(outcome: Outcome) -> Any:
    assert isinstance(outcome, Succeeded), outcome
    return json.loads(outcome.result)


def noted(notes: list[KvWork], *answers: CheckpointResult) -> Callable[[KvWork], CheckpointResult]:
    """Return check-pointing that notes what was to be committed, and answers in turn."""
    left = list(answers)

    def commit(work: KvWork) -> CheckpointResult:
        notes.append(work)
        return left.pop(0)

    return commit


@every_kind
def test_everything_that_http_can_do_is_in_handlers_alike(bench: Bench, kind: str) -> None:
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

    assert said(outcome) == [
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

    assert said(outcome) == [None, "raw", "NotJson", "Invalid", "Invalid"]
    assert isinstance(outcome, Succeeded)
    assert outcome.changes == (KvChange("photo", b"raw", content_type="image/png"),)


@every_kind
def test_entries_are_removed_by_prefix(bench: Bench, kind: str) -> None:
    outcome = play(
        bench, kind, do("set", "co", 1), do("delete_prefix", "co"), do("keys"), do("delete", "x")
    )

    assert said(outcome) == [None, 2, ["name"], None]
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

    assert said(outcome)[3:] == ["CheckFailed"] * 3 + ["Invalid"] * 2
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
def test_what_cannot_be_done_raises_where_it_is_asked_for(bench: Bench, step: Any) -> None:
    outcome = play(bench, "plays", step | {"raises": True})

    assert said(outcome) == ["Invalid"]
    assert isinstance(outcome, Succeeded)
    assert outcome.changes == ()


@every_kind
def test_a_check_point_commits_what_was_written_and_goes_on_from_there(
    bench: Bench, kind: str
) -> None:
    notes: list[KvWork] = []
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

    assert notes == [KvWork((Increment("count", 1), KvChange("a", b"1")), 7)]
    assert said(outcome) == [41, 42, None, None, 1, None, None]
    assert isinstance(outcome, Succeeded)
    assert (outcome.changes, outcome.kv_revision) == ((KvChange("b", b"2"),), 12)


@every_kind
def test_what_is_written_unread_after_a_check_point_has_its_revision(
    bench: Bench, kind: str
) -> None:
    notes: list[KvWork] = []

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
def test_a_check_point_of_nothing_only_has_a_new_snapshot_read(bench: Bench, kind: str) -> None:
    snapshots = [KvSnapshot({"count": b"1"}, 7), KvSnapshot({"count": b"2"}, 8)]

    outcome = play(
        bench, kind, GET, COMMIT, GET, load_kv=lambda: snapshots.pop(0), commit_kv=noted([])
    )

    assert said(outcome) == [1, None, 2]


VERDICTS = [
    (Conflicted("a"), "KvConflict"),
    (Conflicted("a", "stock"), "KvConflict"),
    (Failed(RunError("kv.full", "no room")), "KvRefused"),
    (Fatal(RunError("kv.not_granted", "no grant")), "KvRefused"),
]


@every_kind
@pytest.mark.parametrize(("verdict", "raised"), VERDICTS)
@pytest.mark.parametrize("catches", [True, False])
def test_what_a_check_point_comes_to_is_what_the_attempt_comes_to(
    bench: Bench, kind: str, verdict: Any, raised: str, catches: bool
) -> None:
    """Even if the handler catches what was raised, and goes on."""
    point = COMMIT | {"raises": catches}

    assert play(bench, kind, do("set", "a", 1), point, GET, commit_kv=noted([], verdict)) == verdict


@every_kind
def test_a_check_point_of_a_run_that_is_to_be_cancelled_ends_it(bench: Bench, kind: str) -> None:
    outcome = play(
        bench, kind, do("set", "a", 1), COMMIT | {"raises": True}, commit_kv=noted([], Cancelled())
    )

    assert outcome == Cancelled()


@every_kind
@pytest.mark.parametrize("error", [LeaseLost("not ours"), Unavailable("no database")])
def test_a_check_point_without_an_answer_raises_and_nothing_is_written_after_it(
    bench: Bench, kind: str, error: Exception
) -> None:
    def commit(_: KvWork) -> CheckpointResult:
        raise error

    name = type(error).__name__
    uncaught = play(bench, kind, do("set", "a", 1), COMMIT, commit_kv=commit)
    caught = play(bench, kind, do("set", "a", 1), COMMIT | {"raises": True}, GET, commit_kv=commit)

    assert isinstance(uncaught, Failed)
    assert uncaught.error.type == f"rota.errors.{name}"
    assert isinstance(caught, Failed)
    assert caught.error.type == "kv.commit"


def test_a_write_while_a_check_point_is_under_way_is_refused(bench: Bench) -> None:
    go_on = threading.Event()

    def commit(_: KvWork) -> CheckpointResult:
        assert go_on.wait(20)
        return Committed(9)

    running = bench.begin("writes-while-it-commits", commit_kv=commit)
    go_on.set()

    assert "has not ended" in said(running.outcome())


def test_a_check_point_that_was_given_up_fails_the_attempt(bench: Bench) -> None:
    go_on = threading.Event()

    def commit(_: KvWork) -> CheckpointResult:
        assert go_on.wait(20)
        return Committed(9)

    outcome = bench.run("gives-up-a-commit", commit_kv=commit)
    go_on.set()

    assert isinstance(outcome, Failed)
    assert outcome.error.type == "kv.commit"


@every_kind
def test_another_task_s_table_is_read_and_written(bench: Bench, kind: str) -> None:
    asked: list[str] = []

    def open_kv(task: str) -> OtherTable:
        asked.append(task)
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

    assert said(outcome) == [10, 9, None, [["by", "me"], ["stock", 9]], None]
    assert asked == ["shop"]
    assert isinstance(outcome, Succeeded)
    assert outcome.changes == ()
    changes = (Increment("stock", -1), KvChange("by", b'"me"'))
    assert outcome.others == (TableChanges(numbered(7), "shop", changes, 4),)


@every_kind
def test_a_write_without_a_look_reads_the_other_table_first(bench: Bench, kind: str) -> None:
    outcome = play(bench, kind, do("set", "by", 1, of="shop"))

    assert isinstance(outcome, Succeeded)
    assert outcome.others[0].revision == 4


@every_kind
@pytest.mark.parametrize("catches", [True, False])
@pytest.mark.parametrize("step", [do("set", "a", 1), do("increment", "a"), do("delete", "a")])
def test_a_write_without_a_grant_fails_the_attempt_for_good(
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

    assert said(outcome) == [None, 1]
    assert isinstance(outcome, Succeeded)
    assert outcome.changes == (KvChange("a", b"1"),)


@every_kind
def test_a_task_that_is_not_there_is_not_found(bench: Bench, kind: str) -> None:
    def open_kv(task: str) -> OtherTable:
        raise NotFound(f"There is no task {task!r}.")

    outcome = play(
        bench,
        kind,
        do("get", "a", of="nobody", raises=True),
        do("set", "a", 1, of="nobody", raises=True),
        open_kv=open_kv,
    )

    assert said(outcome) == ["NotFound"] * 2


@every_kind
def test_a_check_point_commits_all_tables_and_has_them_read_anew(bench: Bench, kind: str) -> None:
    notes: list[KvWork] = []
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

    shared = TableChanges(numbered(7), "shop", (Increment("stock", -1),), 4)
    assert notes == [KvWork((KvChange("a", b"1"),), 5, (shared,))]
    assert said(outcome) == [9, None, None, 7]
    assert isinstance(outcome, Succeeded)
    assert outcome.others == (replace(shared, revision=6),)


@pytest.mark.parametrize("kind", ["asks-at-once", "asks-at-once-process"])
def test_questions_that_are_asked_at_once_get_each_its_answer(bench: Bench, kind: str) -> None:
    assert said(bench.run(kind)) == [41, 10]


@every_kind
def test_a_table_that_does_not_open_fails_the_attempt_as_sealed(bench: Bench, kind: str) -> None:
    def load() -> KvSnapshot:
        raise Sealed("no key opens 'a'")

    assert play(bench, kind, GET, load_kv=load) == Failed(RunError("sealed", "no key opens 'a'"))


@every_kind
def test_as_much_can_be_written_at_once_as_a_table_takes(kind: str) -> None:
    limits = {"max_value_bytes": 262_144, "max_kv_bytes": 16_777_216}
    with started(SAMPLES, **limits) as bench:
        # As JSON it is three times as long, on its way from a process.
        outcome = play(bench, kind, *(do("set", f"k{each}", "é" * 130_000) for each in range(60)))

    assert isinstance(outcome, Succeeded), outcome
    assert len(outcome.changes) == 60
