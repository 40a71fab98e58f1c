"""What the client does when answers are lost, late, or refused for a while."""

import socket
from collections.abc import Callable, Iterator
from threading import Event
from time import monotonic
from typing import Any

import pytest

from rota.client import (
    Conflict,
    InvalidResponse,
    NotFound,
    ProblemError,
    QuotaExceeded,
    RateLimited,
    Rota,
    Unavailable,
    Unreachable,
)
from rota.client.retries import FIRST_WAIT, LONGEST_WAIT, backoff
from tests.client.faulty import CUT, FaultyServer, answer, faulty, problem

OK = answer(200, {"status": "ok"})
BUSY = problem(503, "unavailable", "Busy.", Retry_After="2")


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with faulty() as made:
        yield made


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between requests, which take no time here."""
    made: list[float] = []
    monkeypatch.setattr("rota.client.sync.transport.sleep", made.append)
    return made


@pytest.fixture
def rota(server: FaultyServer, waits: list[float]) -> Iterator[Rota]:
    with Rota(server.url, key="k", timeout=20) as made:
        yield made


def test_a_post_whose_answer_is_lost_is_repeated_with_the_same_idempotency_key(
    rota: Rota, server: FaultyServer, waits: list[float]
) -> None:
    server.plan(CUT, BUSY, answer(202, {"backfill_id": None, "runs": 2}))

    begun = rota.task("t").backfill("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")

    assert begun.runs == 2
    keys = [each.headers["idempotency-key"] for each in server.received]
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert waits[0] <= 2 * FIRST_WAIT
    assert waits[1] == 2.0


def test_a_chosen_idempotency_key_is_sent(rota: Rota, server: FaultyServer) -> None:
    server.plan(answer(202, {"backfill_id": None, "runs": 0}))

    rota.task("t").backfill("a", "b", idempotency_key="mine")

    assert server.received[0].headers["idempotency-key"] == "mine"


def test_each_call_has_another_idempotency_key(rota: Rota, server: FaultyServer) -> None:
    begun = answer(202, {"backfill_id": None, "runs": 0})
    server.plan(begun, begun)

    for _ in range(2):
        rota.task("t").backfill("a", "b")

    assert len({each.headers["idempotency-key"] for each in server.received}) == 2


def test_a_repetition_that_meets_the_first_request_waits_for_it(
    rota: Rota, server: FaultyServer
) -> None:
    under_way = problem(409, "conflict")
    server.plan(CUT, under_way, answer(202, {"backfill_id": None, "runs": 2}))

    assert rota.task("t").backfill("a", "b").runs == 2


def test_a_conflict_of_the_first_request_is_none_of_its_own_making(
    rota: Rota, server: FaultyServer
) -> None:
    server.plan(problem(409, "conflict"))

    with pytest.raises(Conflict):
        rota.task("t").backfill("a", "b")


def test_a_change_that_could_come_twice_is_not_repeated(rota: Rota, server: FaultyServer) -> None:
    server.plan(CUT)

    with pytest.raises(Unreachable) as caught:
        rota.task("t").kv.increment("n")

    assert caught.value.may_be_done
    assert len(server.received) == 1


def test_a_write_that_changes_nothing_the_second_time_is_repeated(
    rota: Rota, server: FaultyServer
) -> None:
    entry = {"key": "a", "value": 1, "version": 1, "updated_at": "2026-01-01T00:00:00Z"}
    entry |= {"updated_by": "local", "expires_at": None}
    server.plan(CUT, answer(200, {"items": [entry]}))

    assert rota.task("t").kv.set("a", 1).version == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda rota: rota.task("t").kv.set("a", 1, if_version=3),
        lambda rota: rota.task("t").declare(handler="h", if_match='"e"'),
        lambda rota: rota.keys.create("ci", ["admin"]),
        lambda rota: rota.request("POST", "/v1/anything", body={}),
        lambda rota: rota.queues.lease("q", ["h"]),
    ],
)
def test_what_a_lost_answer_may_have_done_is_left_to_the_caller(
    rota: Rota, server: FaultyServer, call: Callable[[Rota], object]
) -> None:
    server.plan(CUT)

    with pytest.raises(Unreachable):
        call(rota)


def test_a_rate_limit_is_waited_for_even_where_a_repetition_would_count(
    rota: Rota, server: FaultyServer, waits: list[float]
) -> None:
    server.plan(problem(429, "rate-limited", Retry_After="3"), answer(200, {"a": 1}))

    assert rota.request("POST", "/v1/anything", body={}) == {"a": 1}
    assert waits == [3.0]


def test_a_wait_that_takes_longer_than_the_call_may_is_not_begun(
    rota: Rota, server: FaultyServer, waits: list[float]
) -> None:
    server.plan(problem(429, "rate-limited", Retry_After="30"))

    with pytest.raises(RateLimited) as caught:
        rota.system.health()

    assert caught.value.retry_after == 30.0
    assert waits == []


def test_a_date_of_retry_after_counts_from_the_date_of_the_answer(
    rota: Rota, server: FaultyServer, waits: list[float]
) -> None:
    then = {"Retry_After": "Wed, 25 Nov 2026 08:00:07 GMT", "Date": "Wed, 25 Nov 2026 08:00:00 GMT"}
    server.plan(problem(503, "unavailable", **then), OK)

    rota.system.health()

    assert waits == [7.0]


def test_a_quota_is_not_waited_for(rota: Rota, server: FaultyServer) -> None:
    server.plan(problem(429, "quota-exceeded", Retry_After="1"))

    with pytest.raises(QuotaExceeded) as caught:
        rota.task("t").run()

    assert caught.value.retry_after == 1.0


def test_retries_end(server: FaultyServer, waits: list[float]) -> None:
    server.plan(BUSY, BUSY, BUSY)

    with Rota(server.url, retries=2) as rota, pytest.raises(Unavailable, match="Busy"):
        rota.system.health()

    assert len(server.received) == 3


def test_what_is_deleted_by_a_request_whose_answer_was_lost_is_deleted(
    rota: Rota, server: FaultyServer
) -> None:
    server.plan(CUT, problem(404, "not-found"))

    rota.tasks.delete("t")

    assert len(server.received) == 2


def test_what_was_not_there_to_be_deleted_is_reported(rota: Rota, server: FaultyServer) -> None:
    server.plan(BUSY, problem(404, "not-found"))

    with pytest.raises(NotFound):
        rota.tasks.delete("t")


def test_a_service_that_is_not_there_is_unreachable(waits: list[float]) -> None:
    with faulty() as server:
        pass

    with Rota(server.url, retries=3) as rota, pytest.raises(Unreachable, match=server.url) as error:
        rota.request("POST", "/v1/anything", body={})

    assert not error.value.may_be_done
    assert len(waits) == 3


def test_a_service_that_does_not_answer_in_time_is_unreachable(waits: list[float]) -> None:
    with (
        faulty() as server,
        Rota(server.plan(lambda connection: connection.recv(1)).url, timeout=0.1) as rota,
        pytest.raises(Unreachable),
    ):
        rota.system.health()


@pytest.mark.parametrize("content", ["<html>Hello</html>", "[1]"])
def test_an_answer_that_is_none_of_rota_is_reported(
    rota: Rota, server: FaultyServer, content: str
) -> None:
    server.plan(answer(200, content))

    with pytest.raises(InvalidResponse):
        rota.system.openapi()


def test_a_redirect_is_reported_and_the_key_is_not_sent_on(
    rota: Rota, server: FaultyServer
) -> None:
    server.plan(answer(301, Location="http://elsewhere.example/"))

    with pytest.raises(InvalidResponse, match="elsewhere"):
        rota.system.health()


def test_an_error_of_a_proxy_is_an_error(rota: Rota, server: FaultyServer) -> None:
    server.plan(*[answer(502, "<html>Bad Gateway</html>")] * 6)

    with pytest.raises(Unavailable, match="502 Bad Gateway from http"):
        rota.system.health()

    server.plan(answer(404, "<html>No</html>"))
    with pytest.raises(ProblemError, match="no problem document"):
        rota.system.health()


def test_the_key_goes_with_each_request(rota: Rota, server: FaultyServer) -> None:
    server.plan(OK)

    rota.system.health()

    assert server.received[0].headers["authorization"] == "Bearer k"


def test_waits_grow_up_to_a_limit() -> None:
    for attempt in range(1, 100):
        assert FIRST_WAIT / 2 <= backoff(attempt) <= LONGEST_WAIT
    assert backoff(100) >= LONGEST_WAIT / 2


@pytest.mark.parametrize(
    "document",
    [
        {"errors": ["no"]},
        {"errors": 7},
        {"errors": {"a": 1}, "errors_omitted": "many"},
        {"errors": [None]},
    ],
)
def test_an_error_of_another_kind_of_service_is_an_error(
    rota: Rota, server: FaultyServer, document: Any
) -> None:
    server.plan(answer(404, document | {"detail": "elsewhere"}))

    with pytest.raises(NotFound, match="elsewhere"):
        rota.task("t").read()


@pytest.mark.parametrize("document", [{}, {"items": None}, {"items": 5}])
def test_a_list_of_another_kind_of_service_is_reported(
    rota: Rota, server: FaultyServer, document: Any
) -> None:
    server.plan(answer(200, document))

    with pytest.raises(InvalidResponse):
        rota.tasks.list().all()


def test_an_answer_that_drips_ends_with_the_deadline(server: FaultyServer) -> None:
    ended = Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not ended.wait(0.05):
            connection.sendall(b" ")

    server.plan(drip)
    before = monotonic()
    with Rota(server.url, timeout=0.4, retries=0) as rota, pytest.raises(Unreachable):
        rota.task("t").read()
    ended.set()

    assert monotonic() - before < 5
