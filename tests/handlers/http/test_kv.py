"""Operations on the kv in responses: their effects, checks and conflicts."""

import json
from datetime import timedelta
from typing import Any

import pytest

from rota.domain.kv.entries import KvChange, KvSnapshot
from rota.domain.kv.operations import Append, Check, Increment, Max
from rota.domain.runs.outcomes import Conflicted, Failed, Succeeded
from tests.handlers.bench import Bench
from tests.handlers.http.kv_calls import TABLE, Table, changes, replied
from tests.handlers.target import Site

# What the request carries


# What the reply writes


def test_a_response_can_have_all_operations_of_a_transaction(bench: Bench, site: Site) -> None:
    made = changes(
        bench,
        site,
        {"op": "check", "key": "cursor", "version": 3},
        {"op": "check", "key": "name", "value": "Ada"},
        {"op": "check", "key": "missing", "absent": True},
        {"op": "increment", "key": "handled", "by": 3},
        {"op": "append", "key": "list", "value": {"a": 5.0}, "max_length": 10},
        {"op": "max", "key": "top", "value": "b"},
        {"op": "set_once", "key": "name", "value": "Grace"},
        {"op": "set_once", "key": "first", "value": 1, "ttl": "1h"},
        {"op": "set", "key": "cursor", "value": 8812},
        {"op": "delete", "key": "seen:1"},
        {"op": "expire", "key": "icon", "ttl": 60},
        {"op": "increment", "key": "cursor"},
        kv=["cursor"],
    )

    assert {repr(each) for each in made} == {
        repr(each)
        for each in [
            Check("name", value=b'"Ada"'),
            Check("missing"),
            Increment("handled", 3),
            Append("list", b'{"a":5.0}', 10),
            Max("top", b'"b"'),
            KvChange("first", b"1", timedelta(hours=1)),
            KvChange("cursor", b"8813", replaces=True),
            KvChange("seen:1", None, replaces=True),
            KvChange(
                "icon", b"\x89PNG", timedelta(minutes=1), replaces=True, content_type="image/png"
            ),
        ]
    }


def test_writes_of_a_response_refer_to_the_entries_in_the_request(bench: Bench, site: Site) -> None:
    outcome = replied(bench, site, {"op": "set", "key": "cursor", "value": 1}, kv=["cursor"])

    assert isinstance(outcome, Succeeded)
    assert outcome.kv_revision == TABLE.revision


@pytest.mark.parametrize("looks", [False, True])
def test_writes_of_a_response_without_entries_in_the_request_refer_to_the_start(
    bench: Bench, site: Site, *, looks: bool
) -> None:
    look = [{"op": "increment", "key": "handled", "by": 1}] if looks else []
    table = Table()
    write = {"op": "set", "key": "cursor", "value": 1}

    outcome = replied(bench, site, *look, write, table=table)

    # Though what commutes takes a look at the table, later than the attempt began (5 on the bench).
    assert table.reads == len(look)
    assert isinstance(outcome, Succeeded)
    assert outcome.kv_revision == 5


@pytest.mark.parametrize(
    "check", [{"version": 2}, {"value": 8810}, {"absent": True}, {"value": "8811"}]
)
def test_a_failed_check_of_an_unchanged_entry_fails_the_attempt(
    bench: Bench, site: Site, check: dict[str, Any]
) -> None:
    wrong = {"op": "check", "key": "cursor", **check}

    outcome = replied(bench, site, {"op": "set", "key": "a", "value": 1}, wrong, kv=["cursor"])

    assert isinstance(outcome, Failed)
    assert outcome.error.type == "kv.check"
    assert outcome.error.message.startswith("/kv/1: 'cursor' is not as it should be: ")


@pytest.mark.parametrize(
    "check", [{"version": 2}, {"value": 8810}, {"absent": True}, {"value": "8811"}]
)
def test_a_failed_check_of_an_entry_changed_since_the_start_is_a_conflict(
    bench: Bench, site: Site, check: dict[str, Any]
) -> None:
    table = Table(KvSnapshot({"cursor": b"8812"}, revision=7, versions={"cursor": 6}))

    outcome = replied(bench, site, {"op": "check", "key": "cursor", **check}, table=table)

    assert outcome == Conflicted("cursor")


def test_a_failed_check_of_an_entry_that_may_be_deleted_meanwhile_is_a_conflict(
    bench: Bench, site: Site
) -> None:
    check = {"op": "check", "key": "gone", "value": 1}

    later = replied(bench, site, check, table=Table(KvSnapshot({}, revision=7)))
    same = replied(bench, site, check, table=Table(KvSnapshot({}, revision=5)))

    assert later == Conflicted("gone")
    assert isinstance(same, Failed)


@pytest.mark.parametrize(
    ("stored", "given"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ([1], [1.0]),
        ({"a": [{"b": 1.0, "c": None}]}, {"a": [{"c": None, "b": 1}]}),
    ],
)
def test_a_check_compares_values_and_not_their_text(
    bench: Bench, site: Site, stored: Any, given: Any
) -> None:
    check = {"op": "check", "key": "k", "value": given}

    table = Table(KvSnapshot({"k": json.dumps(stored).encode()}, revision=5))
    outcome = replied(bench, site, check, table=table)

    assert isinstance(outcome, Succeeded), outcome


# APIs that know nothing of Rota
