"""Messages of child processes: what is accepted, and what fails the attempt."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from rota.domain.kv.entries import Change, KvChange
from rota.domain.kv.operations import Append, Check, Increment, Max
from rota.domain.kv.run_writes import Committed, KvWrites, TableWrites
from rota.domain.reasons import FailReason
from rota.domain.runs.errors import ErrorResponse, RunError
from rota.domain.runs.outcomes import (
    Cancelled,
    Conflicted,
    Failed,
    Fatal,
    RetryRequested,
    Succeeded,
)
from rota.domain.tasks.registration import read_registration
from rota.handlers.outcomes import HandlerOutcome
from rota.handlers.processes import protocol
from tests.handlers.bench import Bench
from tests.support.factories import numbered

CHANGES: Sequence[Change] = (
    KvChange("k", b"1", timedelta(seconds=1.5)),
    KvChange("bytes", b"\x00\xff", content_type="image/png"),
    KvChange("gone", None, replaces=True),
    Increment("n", 1),
    Increment("n", 0.5),
    Append("list", b"[]", 3),
    Append("list", b"null"),
    Max("max", b'"a"'),
    Check("c", version=3),
    Check("c", value=b"1"),
    Check("c"),
)
TASK = {"name": "t", "handler": "h", "schedule": {"type": "manual"}, "kv": {"a": 1}}
SUCCEEDED = Succeeded(
    '{"a":1}',
    tuple(CHANGES),
    5,
    (read_registration(TASK),),
    datetime(2026, 3, 1, 12, tzinfo=UTC),
    (TableWrites(numbered(7), "shop", tuple(CHANGES), 4),),
)
ERROR = RunError("t", "m", "trace", ErrorResponse(503, {"date": "now"}, None))


@pytest.mark.parametrize(
    "outcome",
    [
        SUCCEEDED,
        Failed(ERROR),
        Fatal(RunError("t", "m"), FailReason.TARGET_GONE),
        RetryRequested(timedelta(seconds=4.5), ERROR, lengthens=True),
        RetryRequested(None, ERROR),
        Cancelled(),
        Conflicted("k"),
        Conflicted("k", "shop"),
    ],
)
def test_an_outcome_is_read_as_it_was_written(outcome: HandlerOutcome) -> None:
    line = protocol.pack(protocol.OUTCOME.write(outcome))

    assert protocol.OUTCOME.read(protocol.unpack(line)) == outcome


@pytest.mark.parametrize("result", [Committed(9), Conflicted("k"), Failed(ERROR), Cancelled()])
def test_the_result_of_a_checkpoint_is_read_as_it_was_written(result: Any) -> None:
    line = protocol.pack(protocol.CHECKPOINT.write(result))

    assert protocol.CHECKPOINT.read(protocol.unpack(line)) == result


@pytest.mark.parametrize(
    "field", ["result", "changes", "kv_revision", "next_fire", "others", "timings"]
)
def test_an_outcome_without_one_of_its_fields_is_refused(field: str) -> None:
    document = dict(protocol.OUTCOME.write(SUCCEEDED)["outcome"])
    del document[field]

    with pytest.raises(KeyError, match=field):
        protocol.OUTCOME.read({"outcome": document})


FINE: dict[str, Any] = {
    "kind": "Succeeded",
    "result": "1",
    "changes": [],
    "kv_revision": 5,
    "registrations": [],
    "next_fire": None,
    "others": [],
    "timings": None,
}
FAILURE = {"type": "t", "message": "m", "traceback": None}
CHANGE = {"key": "k", "value": "1", "ttl": None, "replaces": False, "type": "application/json"}


def changed(**fields: Any) -> dict[str, Any]:
    return {"changes": [CHANGE | fields]}


@pytest.mark.parametrize(
    "forged",
    [
        {"result": "NOT JSON"},
        {"result": '"' + "x" * 20_000 + '"'},
        {"result": "NaN"},
        {"kv_revision": -1},
        {"kv_revision": "5"},
        {"kv_revision": True},
        {"next_fire": "2026-12-24T09:00:00"},
        {"timings": {"wait": 1.0}},
        {"next_fire": "0001-01-01T00:00:00+00:00"},
        changed(key="bad key\n"),
        changed(key="_result"),
        changed(key=7),
        changed(value="NOT JSON"),
        changed(value='"' + "x" * 2_000 + '"'),
        changed(value="\1", type="text/html\r\nX: y"),
        changed(value="\xef\xbb\xbf1"),
        changed(ttl=-5),
        changed(ttl="5"),
        changed(replaces=0),
        changed(ttl=1e11),
        {"changes": [{"op": "increment", "key": "k", "by": "1"}]},
        {"changes": [{"op": "increment", "key": "k", "by": True}]},
        {"changes": [{"op": "append", "key": "k", "value": "NOT JSON", "max_length": None}]},
        {"changes": [{"op": "append", "key": "k", "value": "1", "max_length": -1}]},
        {"changes": [{"op": "max", "key": "k", "value": "}"}]},
        {"changes": [{"op": "check", "key": "k", "version": "1", "value": None}]},
        {"others": [{"task_id": "1", "task": "t", "changes": [CHANGE], "revision": 1}]},
        {"others": [{"task_id": str(UUID(int=7)), "task": "a b", "changes": [], "revision": 1}]},
    ],
)
def test_an_outcome_of_a_child_is_validated_like_a_request_of_a_client(
    bench: Bench, forged: dict[str, Any]
) -> None:
    outcome = bench.run("sends", json.dumps({"outcome": FINE | forged}))

    assert isinstance(outcome, Failed)
    assert outcome.error.type == "process.protocol"


def test_an_outcome_that_a_handler_can_have_is_accepted(bench: Bench) -> None:
    assert bench.run("sends", json.dumps({"outcome": FINE | changed()})) == Succeeded(
        "1", (KvChange("k", b"1"),), 5
    )


@pytest.mark.parametrize("kind", ["Failed", "Fatal", "RetryRequested"])
def test_the_error_of_a_child_is_cut_like_one_made_in_the_service(bench: Bench, kind: str) -> None:
    given = dict.fromkeys(("type", "message", "traceback"), "x" * 100000)
    more = {"reason": "fatal", "after": None, "lengthens": False}
    response = {"status": 500, "headers": {}, "body": "x" * 100_000, "truncated": False}
    document = {
        "kind": kind,
        "error": given | {"message": "a\1" * 50_000, "response": response},
        **more,
    }

    outcome = bench.run("sends", json.dumps({"outcome": document}))

    assert isinstance(outcome, Failed | Fatal | RetryRequested)
    error = outcome.error
    assert len(error.type) < 400
    assert len(error.message) < 2_200
    assert len(error.traceback or "") < 17_100
    assert error.response is None


@pytest.mark.parametrize(
    "message",
    [
        {"line": ["a level that no column takes", "text"]},
        {"line": [None, "text"]},
        {"outcome": {"kind": "Fatal", "error": FAILURE, "reason": "a reason of no run"}},
        {"outcome": {"kind": "Lost", "blame": "none", "how": None}},
        {"outcome": {"kind": "Conflicted", "key": "k" * 100_000, "task": None}},
        {"outcome": {"kind": "Conflicted", "key": "k", "task": "no name"}},
    ],
)
def test_lines_and_conflicts_of_a_child_are_validated(
    bench: Bench, message: dict[str, Any]
) -> None:
    outcome = bench.run("sends", json.dumps(message))

    assert isinstance(outcome, Failed)
    assert outcome.error.type == "process.protocol"


def test_a_child_registers_no_more_than_its_handler_may(bench: Bench) -> None:
    made = [
        {"name": f"t{number}", "handler": "sends", "schedule": {"type": "manual"}}
        for number in range(101)
    ]

    outcome = bench.run("sends", json.dumps({"outcome": FINE | {"registrations": made}}))

    assert isinstance(outcome, Failed)
    assert outcome.error.type == "process.protocol"


def test_a_checkpoint_of_a_child_is_validated(bench: Bench) -> None:
    committed: list[KvWrites] = []

    def commit(work: KvWrites) -> Committed:
        committed.append(work)
        return Committed(9)

    forged = {"commit_kv": {"revision": 5, "others": [], **changed(value="NOT JSON")}}
    outcome = bench.run("sends", json.dumps(forged), commit_kv=commit)

    assert isinstance(outcome, Failed)
    assert outcome.error.type == "process.protocol"
    assert committed == []


RESPONSE = {"status": 503, "headers": {"date": "now"}, "body": None, "truncated": False}


@pytest.mark.parametrize(
    "wrong",
    [
        {"response": "503"},
        {"response": []},
        {"response": RESPONSE | {"status": "503"}},
        {"response": RESPONSE | {"status": True}},
        {"response": RESPONSE | {"headers": [["date", "now"]]}},
        {"response": RESPONSE | {"headers": {"date": 3}}},
        {"response": RESPONSE | {"body": ["x"]}},
        {"response": RESPONSE | {"truncated": 0}},
        {"response": {"status": 503}},
        {"type": None},
        {"message": 7},
        {"traceback": ["a"]},
    ],
)
def test_an_invalid_error_of_a_child_is_refused(wrong: dict[str, Any]) -> None:
    right = {"type": "t", "message": "m", "traceback": None, "response": RESPONSE}
    message = {"outcome": {"kind": "Failed", "error": right}}
    read = protocol.OUTCOME.read(message)
    assert read == Failed(RunError("t", "m", None, ErrorResponse(503, {"date": "now"}, None)))

    message = {"outcome": {"kind": "Failed", "error": right | wrong}}
    with pytest.raises((LookupError, TypeError, ValueError)):
        protocol.OUTCOME.read(message)


@pytest.mark.parametrize(
    "document",
    [
        {"kind": "Conflicted", "key": 1, "task": None},
        {"kind": "RetryRequested", "after": 1e300, "error": {}, "lengthens": False},
        {"kind": "Succeeded", "changes": ["x"]},
        {"kind": []},
        [],
        None,
    ],
)
def test_an_invalid_outcome_of_a_child_fails_the_attempt(bench: Bench, document: Any) -> None:
    outcome = bench.run("sends-outcome", json.dumps(document))

    assert isinstance(outcome, Failed)
    assert outcome.error.type == "process.protocol"
