"""`ctx.kv` in handlers of every kind: reads, and writes with the outcome."""

from datetime import timedelta
from typing import Any

import pytest

from rota.domain.kv.entries import KvChange, KvSnapshot
from rota.domain.kv.operations import Append, Check, Increment, Max
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import (
    Failed,
    Succeeded,
)
from rota.errors import Sealed
from tests.handlers.bench import Bench, started
from tests.handlers.kv.conftest import SAMPLES
from tests.handlers.kv.steps import GET, do, every_kind, play, results


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
