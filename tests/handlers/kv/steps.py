"""Steps for the handlers in `samples.py`, and their results."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from rota.domain.kv.run_writes import KvWrites
from rota.domain.runs.outcomes import (
    CheckpointResult,
    Outcome,
    Succeeded,
)
from tests.handlers.bench import Bench

KINDS = ["plays", "plays-sync", "plays-process", "plays-process-async"]


every_kind = pytest.mark.parametrize("kind", KINDS)


GET = {"do": "get", "args": ["count"]}
COMMIT: dict[str, Any] = {"do": "commit"}


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
