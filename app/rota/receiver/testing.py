"""Calls as Rota makes them, for the tests of your endpoints."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from rota.clock import SystemClock
from rota.domain.http_target.signature import read_key, signature_headers


def signed_call(
    key: str,
    input: Any = None,
    *,
    kv: Mapping[str, Any] | None = None,
    run_id: str | None = None,
    attempt: int = 1,
    task: str = "test",
    token: str | None = None,
    sent_at: float | None = None,
) -> dict[str, Any]:
    """Return the arguments of a call for a test client: `client.post("/digest", **signed_call(KEY, {"n": 1}))`.

    `kv`: the entries that it carries; None: the target sends none. `token`: that of an `async` target. `sent_at`: in
    seconds since 1970; now, if left out.
    """
    run_id = run_id or str(uuid4())
    run = {"id": run_id, "attempt": attempt, "task": task}
    content = input if kv is None else {"input": input, "kv": dict(kv), "run": run}
    body = json.dumps(content).encode()
    now = SystemClock().now().timestamp() if sent_at is None else sent_at
    headers = {
        "content-type": "application/json",
        "x-rota-run": run_id,
        "x-rota-task": task,
        "x-rota-attempt": str(attempt),
    }
    headers |= {"x-rota-token": token} if token else {}
    headers |= signature_headers([read_key(key)], run_id, int(now), body)
    return {"content": body, "headers": headers}
