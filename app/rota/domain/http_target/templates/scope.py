"""The values that the templates of a target refer to."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rota.domain.primitives.ids import Id
from rota.domain.primitives.times.instants import format_instant

#: `input`, `kv`, `run`, `task`, `scheduled_for`; in headers and `auth` also `secret`, and after the response `result`.
Scope = Mapping[str, Any]


def scope_of_run(
    *,
    id: Id,
    attempt: int,
    failures: int,
    trigger: str,
    task: str,
    task_id: Id,
    scheduled_for: datetime,
    input: Any,
    kv: Mapping[str, Any],
) -> Scope:
    """Return the scope of an attempt's request, without secrets: bodies may consist of it."""
    return {
        "input": input,
        "kv": kv,
        "run": {
            "id": id,
            "attempt": attempt,
            "failures": failures,
            "trigger": trigger,
            "task": task,
            "scheduled_for": format_instant(scheduled_for),
            "idempotency_key": id,
        },
        "task": {"id": task_id, "name": task},
        "scheduled_for": format_instant(scheduled_for),
    }
