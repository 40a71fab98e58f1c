"""What one key may take, in a second and at a time: others are not affected."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from threading import Event
from typing import Any

import anyio
import pytest

from rota.api.http import computing
from rota.api.http.clients import calls
from rota.api.http.clients.calls import Share
from rota.api.http.streaming import streams
from rota.api.middleware.limits import Limits
from rota.db import engine
from rota.domain.access.names import NameLimit
from rota.domain.access.rates import TokenBucket
from rota.errors import RateLimited
from tests.api.keys.clients import ADMIN, bearer, client, made
from tests.api.service import YEARLY, Api, problem, serving
from tests.api.stream_client import Stream
from tests.support.factories import eventually

READER = ("tasks:read", "runs:read", "kv:read")


@pytest.fixture(scope="module")
def service(another_database: Callable[[str], str]) -> Iterator[Api]:
    with serving(
        another_database("sqlite"), api_key=ADMIN, headers=bearer(ADMIN), max_streams=8
    ) as api:
        api.task("t")
        yield api


@pytest.fixture
def another(service: Api) -> Api:
    return client(service, made(service, *READER)["key"])


@pytest.fixture
def limited(service: Api) -> Api:
    return client(service, made(service, *READER)["key"])


def the(api: Api, kind: type) -> Any:
    """Return the middleware of this class."""
    layer: Any = api.app.middleware_stack
    while not isinstance(layer, kind):
        layer = getattr(layer, "_app", None) or layer.app
    return layer


def served(*clients: Api) -> bool:
    """Return whether the service is healthy and clients are answered."""
    return all(
        each.get(path).status_code == 200 for each in clients for path in ("/healthz", "/v1/tasks")
    )


# ------------------------------------------------------------------------------------------------------------- rate
def test_a_key_over_its_rate_is_refused_and_no_other_one_is(service: Api, another: Api) -> None:
    slow = client(service, made(service, *READER, rate=0.01)["key"])

    assert slow.get("/v1/tasks").status_code == 200
    refused = slow.get("/v1/tasks")

    found = problem(refused, 429, "rate-limited")
    assert found["detail"].startswith("This key may make 0.01 requests a second")
    assert 90 <= int(refused.headers["retry-after"]) <= 100
    assert served(another, service)


def test_a_refused_request_is_refused_before_its_body_is_read(service: Api) -> None:
    slow = client(service, made(service, "tasks:write", rate=0.01)["key"])
    slow.post("/v1/tasks", json={})
    read = Event()

    async def body() -> Any:
        read.set()
        yield b"{}"

    refused = slow.post("/v1/tasks", content=body(), headers={"content-type": "application/json"})

    assert refused.status_code == 429
    assert not read.is_set()


def test_after_the_wait_of_retry_after_the_key_is_served(service: Api) -> None:
    key = made(service, *READER, rate=1)
    slow = client(service, key["key"])
    eventually(lambda: slow.get("/v1/tasks").status_code == 429)
    bucket: TokenBucket = the(service, Limits)._buckets[key["id"]]

    bucket.at -= 1.0  # a second passes

    assert slow.get("/v1/tasks").status_code == 200


# ---------------------------------------------------------------------------------------------------------- at once
@contextmanager
def holding(service: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[None]]:
    """Let lists of tasks wait in their threads until the end; yields a list that has an item for each."""
    gate, begun = Event(), list[None]()
    original = streams_of_tasks()

    def held(*args: Any) -> Any:
        if args[1].name_prefix == "held":
            begun.append(None)
            assert gate.wait(20)
        return original(*args)

    monkeypatch.setattr("rota.api.tasks.routes.list_sizes", held)
    try:
        yield begun
    finally:
        gate.set()


def streams_of_tasks() -> Callable[..., Any]:
    from rota.store.task_rows import list_sizes

    return list_sizes


def test_reads_of_one_key_take_neither_all_connections_nor_all_threads(
    service: Api, limited: Api, another: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = int(service.portal.call(_threads))
    assert threads >= 2 * calls.REQUESTS
    assert engine._READERS >= 2 * calls.READS
    monkeypatch.setattr(Share.take_turn, "__defaults__", (0.2,))
    with ThreadPoolExecutor(threads) as clients:
        with holding(service, monkeypatch) as begun:
            lists = [
                clients.submit(limited.get, "/v1/tasks?name_prefix=held") for _ in range(threads)
            ]
            eventually(lambda: len(begun) == calls.READS)

            refused = limited.get("/v1/tasks")

            assert (
                "requests of this key are being served"
                in problem(refused, 429, "rate-limited")["detail"]
            )
            assert len(begun) == calls.READS
            assert served(another, service)
        statuses = [each.result().status_code for each in lists]

    assert statuses.count(200) >= calls.REQUESTS
    assert limited.get("/v1/tasks").status_code == 200


async def _threads() -> float:
    return anyio.to_thread.current_default_thread_limiter().total_tokens


def test_streams_of_one_key_leave_room_for_those_of_others(
    service: Api, limited: Api, another: Api
) -> None:
    most = 8 // streams.PARTS
    open_streams = [Stream(limited, "/v1/tasks/t/kv?watch=") for _ in range(most)]

    refused = limited.get("/v1/tasks/t/kv?watch=")

    assert "ROTA_MAX_STREAMS" in problem(refused, 429, "rate-limited")["detail"]
    others = Stream(another, "/v1/tasks/t/kv?watch=")
    assert others.status == 200
    for each in (*open_streams, others):
        each.stop()
    eventually(lambda: service.app.state.services.streams._open == 0)
    Stream(limited, "/v1/tasks/t/kv?watch=").stop()


def test_a_request_that_waits_takes_no_turn_of_others(
    service: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(the(service, Limits), "_new_share", lambda: Share(requests=1))
    single = client(service, made(service, *READER)["key"])

    watching = Stream(single, "/v1/tasks/t/kv?watch=")

    assert served(single)
    watching.stop()
    assert served(single)


def test_computations_of_one_key_leave_slots_for_those_of_others(
    service: Api, limited: Api, another: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = computing.SLOTS // 2
    gate, begun = Event(), list[None]()

    def slow(*_: Any) -> list[str]:
        begun.append(None)
        assert gate.wait(20)
        return []

    monkeypatch.setattr("rota.api.tasks.routes._upcoming", slow)
    monkeypatch.setattr(service.app.state.services.computing, "_patience", 0.1)
    with ThreadPoolExecutor(8) as clients:
        try:
            computed = [clients.submit(limited.get, "/v1/tasks/t/upcoming") for _ in range(own)]
            eventually(lambda: len(begun) == own)

            refused = limited.get("/v1/tasks/t/upcoming")
            of_another = clients.submit(another.get, "/v1/tasks/t/upcoming")

            assert (
                "of this key are being computed" in problem(refused, 429, "rate-limited")["detail"]
            )
            eventually(lambda: len(begun) == own + 1)
            assert served(another, limited)
        finally:
            gate.set()
        assert [each.result().status_code for each in (*computed, of_another)] == [200] * (own + 1)


def test_what_was_written_is_returned_also_to_a_key_that_is_over_its_limits(
    service: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the client would not know of it, and the tokens of leased runs were lost."""
    assert service.put("/v1/handlers/leased", json={}).is_success
    service.task("leased", handler="leased", queue="leased", overlap_policy="allow")
    for _ in range(2):
        service.run("leased")
    scopes = ("tasks:write", "runs:write", "work")
    key = made(service, *scopes)
    writer, leases = client(service, key["key"]), "/v1/queues/leased/lease"
    lease = {"handlers": ["leased"]}
    (first,) = writer.post(leases, json=lease).json()["items"]
    share = the(service, Limits)._shares[key["id"]]
    reads_of_checks = iter([nullcontext()])

    def reading() -> Any:
        """Let a request read once, before it writes."""
        for each in reads_of_checks:
            return each
        raise RateLimited("no more reads", retry_after=1)

    monkeypatch.setattr(share, "reading", reading)
    monkeypatch.setattr(share, "_computing", anyio.Semaphore(0))
    monkeypatch.setattr(service.app.state.services.computing, "_patience", 0.01)
    monkeypatch.setattr("rota.api.tasks.rendering.AT_ONCE", -1)

    leased = writer.post(leases, json=lease)
    assert [each["token"] for each in leased.json()["items"]]
    assert writer.put("/v1/tasks/costly", json={"handler": "echo", "schedule": YEARLY}).is_success
    assert writer.post(f"/v1/runs/{first['run']['id']}/cancel").status_code == 202


def test_an_administrator_of_the_settings_has_no_limits(service: Api) -> None:
    assert the(service, Limits)._share_of(_principal()) is None


def _principal() -> Any:
    from rota.domain.access.principal import LOCAL

    assert LOCAL.tasks == NameLimit()
    return LOCAL
