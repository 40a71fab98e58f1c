"""Streams, and waiting for a run: cut, silent, refused, and out of order."""

from collections.abc import Iterator
from threading import Event
from time import monotonic
from typing import Any

import anyio
import pytest

from rota.client import (
    AsyncRota,
    Forbidden,
    InvalidResponse,
    NotFound,
    ResultTimeout,
    Rota,
    RunFailed,
    Unreachable,
)
from tests.client.faulty import CUT, FaultyServer, answer, event, faulty, problem, stream

EVENTS = "/v1/events"
RUN_PATH = "/v1/runs/r1"
PATIENCE = 30


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with faulty() as made:
        yield made


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between connections, which take no time here."""
    made: list[float] = []
    monkeypatch.setattr("rota.client.sync.streams.sleep", made.append)
    monkeypatch.setattr("rota.client.sync.transport.sleep", made.append)
    return made


@pytest.fixture
def rota(server: FaultyServer) -> Iterator[Rota]:
    with Rota(server.url) as made:
        yield made


_ABSENT = (
    "rerun_of backfill_id scheduled_until reason not_before input result error progress cancel_requested_at "
    "finished_at lateness duration traceparent"
)
_AT = "2026-11-25T08:00:00.000Z"


def run(status: str = "running", **fields: Any) -> dict[str, Any]:
    """Return a run as the service shows it."""
    made = dict.fromkeys(_ABSENT.split()) | {
        "id": "r1",
        "task": "t",
        "task_generation": 1,
        "trigger": "manual",
        "chain_id": "r1",
        "count": 1,
        "status": status,
        "queue": "q",
        "priority": 0,
        "attempt": 1,
        "failures": 0,
    }
    made |= dict.fromkeys(("scheduled_for", "created_at", "started_at"), _AT)
    made |= {key: [] for key in ("waiting_on", "attempts", "fed_by", "fed")}
    return made | fields


def test_a_stream_that_breaks_goes_on_behind_its_last_event(
    rota: Rota, server: FaultyServer, waits: list[float]
) -> None:
    server.plan(
        stream("id: 0-1", event("task.created", "0-2", task="a")),
        CUT,
        problem(503, "unavailable", Retry_After="4"),
        stream("id: 0-2", event("task.created", "0-3", task="b")),
    )

    with rota.events.listen(type="task.*") as events:
        assert [next(events).data["task"] for _ in range(2)] == ["a", "b"]
        assert events.position == "0-3"

    ids = [each.headers.get("last-event-id") for each in server.received]
    assert ids == [None, "0-2", "0-2", "0-2"]
    assert server.received[0].path == "/v1/events?type=task.%2A"
    assert 4.0 in waits


def test_a_stream_has_begun_when_its_block_begins(rota: Rota, server: FaultyServer) -> None:
    server.plan(stream("id: 0-1", event("run.failed", "0-2", n=1)))

    with rota.events.listen() as events:
        assert server.requests(EVENTS)
        assert next(events).data["n"] == 1

    with pytest.raises(StopIteration):
        next(events)


def test_an_event_that_comes_again_is_given_once(rota: Rota, server: FaultyServer) -> None:
    first, second, third = (event("run.failed", f"0-{number}", n=number) for number in (1, 2, 3))
    server.plan(stream(first, second), stream(second, first, third))

    with rota.events.listen() as events:
        assert [next(events).data["n"] for _ in range(3)] == [1, 2, 3]


def test_a_stream_begins_behind_a_chosen_event(rota: Rota, server: FaultyServer) -> None:
    server.plan(stream(event("reset", "0-9", reason="too old")))

    with rota.events.listen(after="0-5") as events:
        assert next(events).type == "reset"

    assert server.received[0].headers["last-event-id"] == "0-5"


def test_a_stream_that_is_refused_ends_with_the_problem(rota: Rota, server: FaultyServer) -> None:
    server.plan(problem(403, "forbidden"))

    with pytest.raises(Forbidden), rota.events.listen():
        pass


def test_a_stream_that_never_begins_ends_with_the_error(
    rota: Rota, server: FaultyServer, waits: list[float]
) -> None:
    server.plan(*[CUT] * 5)

    with pytest.raises(Unreachable), rota.events.listen():
        pass

    assert len(server.received) == 5
    assert len(waits) == 4


def test_an_event_that_is_none_of_rota_is_reported(rota: Rota, server: FaultyServer) -> None:
    server.plan(stream("data: hello"))

    with rota.events.listen() as events, pytest.raises(InvalidResponse):
        next(events)


def test_a_watch_ends_when_its_task_is_deleted(rota: Rota, server: FaultyServer) -> None:
    server.plan(stream(event("kv.set", "a.1", key="k"), event("task.deleted", "a.2", task="t")))

    with rota.task("t").kv.watch("k", "user:*") as changes:
        assert [each.type for each in changes] == ["kv.set", "task.deleted"]

    assert server.received[0].path == "/v1/tasks/t/kv?watch=k%2Cuser%3A%2A"


def test_a_result_is_read_once_the_event_says_so(rota: Rota, server: FaultyServer) -> None:
    server.plan(
        answer(200, run()),
        answer(200, run()),
        answer(200, run("succeeded", result=7)),
        path=RUN_PATH,
    )
    # Two pieces: the begin, by which the run is read again, and the events.
    server.plan(
        stream("id: 0-1"),
        stream(event("run.failed", "0-2", run="other"), event("run.succeeded", "0-3", run="r1")),
        path=EVENTS,
    )

    assert rota.run("r1").result(timeout=10) == 7

    assert server.requests(EVENTS)[0].path == "/v1/events?task=t&type=run.%2A"


def test_events_out_of_order_do_not_end_a_wait(rota: Rota, server: FaultyServer) -> None:
    server.plan(
        *[answer(200, run())] * 3, answer(200, run("failed", reason="fatal")), path=RUN_PATH
    )
    server.plan(
        stream(event("run.failed", "0-9", run="r1"), event("run.succeeded", "0-2", run="r1")),
        path=EVENTS,
    )

    with pytest.raises(RunFailed) as caught:
        rota.run("r1").result(timeout=10)

    assert caught.value.run.reason == "fatal"


def test_a_result_is_polled_where_there_are_no_streams(rota: Rota, server: FaultyServer) -> None:
    server.plan(*[answer(200, run())] * 3, answer(200, run("succeeded", result=1)), path=RUN_PATH)
    server.plan(problem(503, "unavailable", "Too many streams.", Retry_After="1"), path=EVENTS)

    assert rota.run("r1").result(timeout=10) == 1

    assert len(server.requests(RUN_PATH)) == 4


def test_a_result_is_polled_where_a_proxy_holds_events_back(
    rota: Rota, server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rota.client.sync.result._SILENCES", (0.05,))
    server.plan(answer(200, run()), answer(200, run("succeeded", result=1)), path=RUN_PATH)
    server.plan(lambda connection: connection.recv(1), path=EVENTS)

    assert rota.run("r1").result(timeout=10) == 1


@pytest.mark.parametrize("blocks", [[], [": alive"]])
def test_a_wait_ends_in_time(rota: Rota, server: FaultyServer, blocks: list[str]) -> None:
    server.plan(answer(200, run()), path=RUN_PATH)
    server.plan(stream(*blocks), path=EVENTS)

    with pytest.raises(ResultTimeout, match="r1 has not ended"):
        rota.run("r1").result(timeout=0.2)


def test_a_result_of_no_run_is_not_found(rota: Rota, server: FaultyServer) -> None:
    server.plan(problem(404, "not-found"))

    with pytest.raises(NotFound):
        rota.run("r1").result(timeout=1)


def test_the_async_half_reconnects_and_closes_its_streams(server: FaultyServer) -> None:
    server.plan(
        stream("id: 0-1", event("task.created", "0-2", task="a")),
        stream(event("task.created", "0-3", task="b")),
    )

    async def listen() -> list[str]:
        async with AsyncRota(server.url) as rota, rota.events.listen() as events:
            return [(await anext(events)).data["task"] for _ in range(2)]

    assert anyio.run(listen) == ["a", "b"]
    assert server.received[1].headers["last-event-id"] == "0-2"


def test_a_position_is_that_of_what_was_given(rota: Rota, server: FaultyServer) -> None:
    first, second = (event("run.failed", f"0-{number}", n=number) for number in (2, 3))
    server.plan(stream("id: 0-1", first, second))

    with rota.events.listen(after="0-0") as events:
        assert events.position in {"0-0", "0-1"}
        next(events)
        assert events.position == "0-2"
        next(events)
        assert events.position == "0-3"


@pytest.mark.parametrize("retry_after", ["inf", "nan", "1e400", "-1"])
def test_a_retry_after_that_is_no_time_is_ignored(
    rota: Rota, server: FaultyServer, waits: list[float], retry_after: str
) -> None:
    server.plan(problem(503, "unavailable", Retry_After=retry_after), answer(200, run()))

    assert rota.run("r1").read().id == "r1"
    assert all(0 <= each < 1 for each in waits)


def test_a_wait_for_a_run_ends_in_time_although_the_service_wants_a_later_request(
    rota: Rota, server: FaultyServer, waits: list[float]
) -> None:
    server.plan(answer(200, run()), path=RUN_PATH)
    server.plan(problem(503, "unavailable", Retry_After="3600"), path=EVENTS)

    with pytest.raises(ResultTimeout):
        rota.run("r1").wait(0.2)

    assert max(waits) <= 0.2


def test_a_wait_for_a_run_ends_in_time_although_nothing_is_answered(
    rota: Rota, server: FaultyServer
) -> None:
    silent = Event()
    server.plan(lambda _: silent.wait(PATIENCE), path=RUN_PATH)

    before = monotonic()
    with pytest.raises((ResultTimeout, Unreachable)):
        rota.run("r1").wait(0.3)
    silent.set()

    assert monotonic() - before < 5


def test_events_of_one_position_are_all_given(rota: Rota, server: FaultyServer) -> None:
    """An entry that has expired is reported at the position of what was written before it."""
    written, expired = event("kv.set", "t-5", key="a"), event("kv.deleted", "t-5", key="b")
    server.plan(stream("id: t-5", written, expired, written), stream(expired), stream("id: t-6"))

    with rota.task("t").kv.watch() as changes:
        assert [next(changes).data["key"] for _ in range(2)] == ["a", "b"]
        assert changes.position == "t-5"
