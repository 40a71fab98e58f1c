"""Tables of other tasks in handlers of every kind."""

from dataclasses import replace
from typing import Any

import pytest

from rota.domain.kv.entries import KvChange, KvSnapshot
from rota.domain.kv.operations import Increment
from rota.domain.kv.run_writes import Committed, KvWrites, OtherTable, TableWrites
from rota.domain.runs.outcomes import (
    Fatal,
    Succeeded,
)
from rota.errors import NotFound
from tests.handlers.bench import OTHER, Bench
from tests.handlers.kv.steps import COMMIT, do, every_kind, noted, play, results
from tests.support.factories import numbered


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
