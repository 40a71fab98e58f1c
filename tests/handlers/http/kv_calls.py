"""Calls of `http` tasks that have a key-value table."""

import json
from typing import Any

from rota.domain.kv.entries import Change, KvSnapshot
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Failed, Outcome, Succeeded
from tests.handlers.bench import Bench
from tests.handlers.target import OUTCOME, Received, Site

TABLE = KvSnapshot(
    {
        "cursor": b"8811",
        "name": b'"Ada"',
        "list": b"[1]",
        "seen:1": b"true",
        "seen:2": b"null",
        "feed.etag": b'"\\"v7\\""',
        "icon": b"\x89PNG",
        "_result": b"{}",
    },
    revision=7,
    types={"icon": "image/png"},
    versions={"cursor": 3},
)


class Table:
    """A table that records whether it was read."""

    def __init__(self, snapshot: KvSnapshot = TABLE) -> None:
        self.snapshot = snapshot
        self.reads = 0

    def load(self) -> KvSnapshot:
        self.reads += 1
        return self.snapshot


def call(
    bench: Bench, site: Site, input: str = '{"kind":1}', table: Table | None = None, **fields: Any
) -> Outcome:
    load = (table or Table()).load
    return bench.run("http", input, target=site.target(**fields), load_kv=load)


def sent(bench: Bench, site: Site, **fields: Any) -> Received:
    outcome = call(bench, site, **fields)
    assert isinstance(outcome, Succeeded), outcome
    return site.received[-1]


def replied(bench: Bench, site: Site, *operations: dict[str, Any], **fields: Any) -> Outcome:
    site.answer(200, json.dumps({"kv": operations}).encode(), OUTCOME)
    return call(bench, site, **fields)


def changes(bench: Bench, site: Site, *operations: dict[str, Any], **fields: Any) -> list[Change]:
    outcome = replied(bench, site, *operations, **fields)
    assert isinstance(outcome, Succeeded), outcome
    return list(outcome.changes)


def error(outcome: Outcome) -> RunError:
    assert isinstance(outcome, Failed), outcome
    return outcome.error
