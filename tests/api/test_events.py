"""GET /v1/events: what happens, as a stream that can be resumed."""

from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest

from rota.store.events.stored import EventRetention, RemoveEvents
from tests.api.marks import always_on_both, shares_service
from tests.api.service import Api, problem
from tests.api.stream_client import Event, Slow, Stream
from tests.support.factories import DAY, eventually

pytestmark = always_on_both


def types(received: Iterable[Event]) -> list[str]:
    return [each.type for each in received]


def in_the_header(id: str | None) -> tuple[str, str | None]:
    return "", id


def in_the_query(id: str | None) -> tuple[str, str | None]:
    return f"last_event_id={id}", None


def subscribed(api: Api, query: str = "", last_id: str | None = None) -> Stream:
    """Return a stream that has begun: it has all events from now on."""
    stream = Stream(api, f"/v1/events?{query}", last_id)
    eventually(lambda: stream.last_id)
    return stream


def test_events_cover_the_life_of_a_task(api: Api) -> None:
    stream = subscribed(api)

    task = api.task("t")
    api.task("t", description="another")
    api.post("/v1/tasks/t/pause", json={"reason": "why not"})
    api.post("/v1/tasks/t/resume")
    api.put("/v1/tasks/t/kv/a", json={"value": 1})
    api.post("/v1/tasks/t/cancel")
    api.delete("/v1/tasks/t")

    received = stream.until(lambda received: "task.deleted" in types(received))
    assert types(received) == [
        "task.created",
        "task.updated",
        "task.paused",
        "task.resumed",
        "kv.changed",
        "task.cancelled",
        "task.deleted",
    ]
    assert {each.data["task"] for each in received} == {"t"}
    assert received[0].data == {
        "task": "t",
        "id": task["id"],
        "status": "active",
        "reason": None,
        "by": "local",
    }
    assert received[0].timestamp == task["created_at"]
    assert received[2].data["reason"] == "why not"
    assert received[4].data == {"task": "t", "revision": 1}


@pytest.mark.parametrize(
    ("handler", "status", "reason"), [("echo", "succeeded", None), ("refuse", "failed", "fatal")]
)
def test_the_end_of_a_run_is_an_event(
    api: Api, handler: str, status: str, reason: str | None
) -> None:
    api.task("t", handler=handler)
    stream = subscribed(api)

    run = api.ended(api.run("t"))

    [event] = stream.until_received(1)
    assert event.type == f"run.{status}"
    assert event.timestamp == run["finished_at"]
    assert event.data == {
        "task": "t",
        "run": run["id"],
        "status": status,
        "reason": reason,
        "trigger": "manual",
    }


def test_the_cancellation_of_a_waiting_run_is_an_event(api: Api) -> None:
    api.task("t")
    stream = subscribed(api, "type=run.*")
    run = api.run("t", scheduled_for="2999-01-01T00:00:00Z")

    api.post(f"/v1/runs/{run['id']}/cancel")

    [event] = stream.until_received(1)
    assert (event.type, event.data["reason"]) == ("run.cancelled", "requested")


def test_the_completion_of_a_task_is_an_event(api: Api) -> None:
    stream = subscribed(api, "type=task.completed")

    api.task("t", schedule={"type": "once", "delay": "0.05s"})

    [event] = stream.until_received(1)
    assert (event.data["task"], event.data["status"]) == ("t", "completed")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("task=a", ["task.created", "task.paused"]),
        ("task=a,b&type=task.paused", ["task.paused", "task.paused"]),
        ("type=task.paused&type=run.*", ["task.paused", "task.paused", "run.succeeded"]),
        ("task=nobody", []),
    ],
)
def test_filters_select_events(api: Api, query: str, expected: list[str]) -> None:
    everything, stream = subscribed(api), subscribed(api, query)

    for name in ("a", "b"):
        api.task(name)
        api.post(f"/v1/tasks/{name}/pause")
    api.task("last")
    api.ended(api.run("last"))

    everything.until(lambda received: "run.succeeded" in types(received))
    assert types(stream.until(lambda received: len(received) >= len(expected))) == expected


@pytest.mark.parametrize("resuming", [in_the_header, in_the_query])
def test_a_stream_resumes_after_the_last_event(
    api: Api, resuming: Callable[[str | None], tuple[str, str | None]]
) -> None:
    stream = subscribed(api)
    api.task("a")
    stream.until_received(1)
    stream.stop()
    api.task("b")

    resumed = subscribed(api, *resuming(stream.last_id))
    api.task("c")

    assert [each.data["task"] for each in resumed.until_received(2)] == ["b", "c"]


def test_a_stream_resumes_within_a_commit(api: Api) -> None:
    items = [
        {"name": f"t-{n}", "handler": "echo", "schedule": {"type": "manual"}} for n in range(5)
    ]
    stream = subscribed(api)
    api.post("/v1/tasks/batch", json={"items": items})
    received = stream.until_received(5)

    for index, event in enumerate(received):
        resumed = subscribed(api, "", event.id)
        rest = resumed.until_received(4 - index)
        resumed.stop()
        assert [each.data["task"] for each in rest][: 4 - index] == [
            f"t-{n}" for n in range(index + 1, 5)
        ]


def test_a_client_that_missed_removed_events_receives_a_reset(api: Api) -> None:
    stream = subscribed(api)
    api.task("a")
    stream.until_received(1)
    stream.stop()
    api.task("b")
    api.task("c")
    services = api.app.state.services
    services.writer.call(RemoveEvents(EventRetention(-DAY), 100))

    resumed = subscribed(api, "", stream.last_id)
    api.task("d")

    received = resumed.until_received(2)
    assert types(received) == ["reset", "task.created"]
    assert received[1].data["task"] == "d"
    again = subscribed(api, "", received[0].id)
    assert types(again.until_received(1)) == ["task.created"]


def test_a_slow_client_that_missed_removed_events_receives_a_reset(api: Api) -> None:
    stream = Slow(api, "/v1/events")
    eventually(lambda: stream.last_id)
    api.task("a")
    api.task("b")
    api.app.state.services.writer.call(RemoveEvents(EventRetention(-DAY), 100))
    api.task("c")

    stream.resume()

    received = stream.until_received(2)
    assert types(received) == ["reset", "task.created"]
    assert received[1].data["task"] == "c"
    resumed = subscribed(api, "", received[0].id)
    assert types(resumed.until_received(1)) == ["task.created"]


def test_the_id_of_a_quiet_stream_with_a_filter_advances(api: Api) -> None:
    """Otherwise the id of a stream without events would become too old to resume after."""
    api.app.state.services.streams.heartbeat = 0.05
    stream = subscribed(api, "task=nobody")
    begun = stream.last_id

    api.task("a")

    eventually(lambda: stream.last_id != begun)
    assert stream.events == []


def test_each_event_is_received_once_despite_disconnections(api: Api) -> None:
    """Nothing is lost and nothing repeated, however often the stream breaks while many commit."""
    api.task("t", overlap_policy="allow")
    last_id = subscribed(api).last_id
    received: list[str] = []

    def work(_number: int) -> list[str]:
        return [str(api.ended(api.run("t"))["id"]) for _ in range(10)]

    with ThreadPoolExecutor(4) as threads:
        working = [threads.submit(work, number) for number in range(4)]
        while len(received) < 40:
            stream = Stream(api, "/v1/events?type=run.succeeded", last_id)
            stream.until_received(1)
            stream.stop()
            received += [each.data["run"] for each in stream.events]
            last_id = stream.last_id

    assert Counter(received) == Counter(id for each in working for id in each.result())


@shares_service
@pytest.mark.parametrize(
    "query", ["type=run.exploded", "type=run", "type=*", "type=run.failed,x", "limit=5"]
)
def test_invalid_queries_are_refused(api: Api, query: str) -> None:
    assert api.get(f"/v1/events?{query}").status_code == 422


@shares_service
@pytest.mark.parametrize(
    "id", ["x", "1", "1-", "1-2-3-4", "-1-2", "1-2-x", "1" * 19 + "-1", "\u0661-1"]
)
def test_a_malformed_last_event_id_is_refused(api: Api, id: str) -> None:
    refused = api.get("/v1/events", headers={b"Last-Event-ID": id.encode()})

    problem(refused, 422, "invalid-header")


def test_an_id_of_another_database_resets(api: Api) -> None:
    api.task("a")

    received = subscribed(api, "", "999999999999-7").until_received(1)

    assert types(received) == ["reset"]
