"""Celery with Redis as broker and for results, and a task that calls a URL with httpx.

Each process of the worker keeps a client, as httpx recommends. A call is acknowledged when it has ended, so that it is
executed at least once, as with Rota, and its result is stored.
"""

import os
from typing import Any

import httpx
from celery import Celery
from celery.signals import worker_process_init

from benchmarks.processes import die_with_parent

#: The name of the environment variable with the path of Redis' socket.
SOCKET = "BENCHMARK_REDIS_SOCKET"
#: The queue that the worker takes from at first: nothing is ever in it.
IDLE = "idle"
#: The queue of the calls.
CALLS = "calls"
RESULTS = "celery-task-meta-*"

app = Celery("benchmark")
app.conf.update(
    broker_url=f"redis+socket://{os.environ.get(SOCKET, '')}",
    result_backend=f"redis+socket://{os.environ.get(SOCKET, '')}",
    task_acks_late=True,
    task_default_queue=CALLS,
    worker_prefetch_multiplier=4,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)
_clients: list[httpx.Client] = []


@worker_process_init.connect
def _prepare(**_: Any) -> None:
    die_with_parent()
    _clients.append(httpx.Client(timeout=30))


@app.task(name="call")
def call(url: str, body: dict[str, Any]) -> dict[str, Any]:
    """Call a URL, and return what Rota's `http` handler returns."""
    response = _clients[0].post(url, json=body).raise_for_status()
    return {"status": response.status_code, "body": response.json()}
