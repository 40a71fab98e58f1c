"""GET /v1/tasks/{name}/kv?watch=: changes of a table, as a stream that can be resumed."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.api.marks import always_on_both, shares_service
from tests.api.service import Api, pointers, problem
from tests.api.stream_client import Event, Slow, Stream
from tests.support.factories import eventually

pytestmark = always_on_both

KV = "/v1/tasks/t/kv"


@pytest.fixture
def table(api: Api) -> Api:
    """A service with a task `t`."""
    api.task("t")
    return api


def put(api: Api, key: str, value: Any) -> dict[str, Any]:
    answer = api.put(f"{KV}/{key}", json={"value": value})
    assert answer.status_code in {200, 201}, answer.text
    return dict(answer.json())


def contents(received: list[Event]) -> list[tuple[str, str, Any]]:
    """Return the type, the key and the value, if there is one, of each event."""
    return [(each.type, each.data["key"], each.data.get("value")) for each in received]


def keys_since_reset(received: list[Event]) -> list[str] | None:
    """Return the keys that are there as far as the last reset and what follows it say; None before it is complete."""
    resets = [index for index, each in enumerate(received) if each.type == "kv.reset"]
    following = received[resets[-1] + 1 :] if resets else []
    if "kv.ready" not in [each.type for each in following]:
        return None
    keys: dict[str, None] = {}
    for each in following:
        if each.type == "kv.set":
            keys[each.data["key"]] = None
        elif each.type == "kv.deleted":
            keys.pop(each.data["key"], None)
    return list(keys)


def test_writes_and_deletions_are_streamed(table: Api) -> None:
    put(table, "old", 0)
    stream = Stream(table, f"{KV}?watch=")

    written = put(table, "a", {"n": 1})
    table.delete(f"{KV}/a")
    received = stream.until_received(2)

    assert stream.status == 200
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert stream.headers["cache-control"] == "no-store"
    assert contents(received) == [("kv.set", "a", {"n": 1}), ("kv.deleted", "a", None)]
    assert received[0].data == {"task": "t"} | written
    assert received[0].timestamp == written["updated_at"]
    assert received[1].data.keys() == {"task", "key", "version", "updated_at", "updated_by"}
    assert received[1].data["version"] > written["version"]


def test_writes_of_runs_are_streamed(api: Api) -> None:
    api.task("t", handler="count")
    stream = Stream(api, f"{KV}?watch=count,_result")

    run = api.ended(api.run("t"))

    received = stream.until_received(2)
    assert contents(received) == [("kv.set", "_result", 1), ("kv.set", "count", 1)]
    assert {each.data["updated_by"] for each in received} == {f"run:{run['id']}"}


def test_a_value_that_is_not_json_is_base64(table: Api) -> None:
    stream = Stream(table, f"{KV}?watch=a")

    table.put(f"{KV}/a", content=b"\x00\n\n", headers={"content-type": "image/png"})

    [event] = stream.until_received(1)
    assert (event.data["value"], event.data["encoding"]) == ("AAoK", "base64")


@shares_service
@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ("a", ["a"]),
        ("a*", ["a", "ab"]),
        ("*", ["a", "ab", "b", "c"]),
        ("", ["a", "ab", "b", "c"]),
        ("a,c", ["a", "c"]),
        ("ab&watch=c*", ["ab", "c"]),
        ("b,a*", ["a", "ab", "b"]),
    ],
)
def test_patterns_select_keys(table: Api, patterns: str, expected: list[str]) -> None:
    stream = Stream(table, f"{KV}?watch={patterns}")

    for key in ("a", "ab", "b", "c"):
        put(table, key, 1)

    assert [each.data["key"] for each in stream.until_received(len(expected))] == expected
    stream.stop()


def test_a_stream_resumes_after_the_id_in_its_query(table: Api) -> None:
    stream = Stream(table, f"{KV}?watch=")
    put(table, "a", 1)
    stream.until_received(1)
    stream.stop()
    put(table, "b", 2)

    resumed = Stream(table, f"{KV}?watch=&last_event_id={stream.last_id}")
    assert contents(resumed.until_received(1)) == [("kv.set", "b", 2)]
    # Which a browser repeats when it comes back with a header that is younger.
    again = Stream(table, f"{KV}?watch=&last_event_id={stream.last_id}", resumed.last_id)
    put(table, "c", 3)
    assert contents(again.until_received(1)) == [("kv.set", "c", 3)]


def test_a_malformed_id_in_the_query_is_refused(table: Api) -> None:
    for query in ("watch=&last_event_id=x", "last_event_id=x"):
        refused = table.get(f"{KV}?{query}")
        problem(refused, 422, "invalid-filter")
        assert pointers(refused) == ["last_event_id"]


def test_a_stream_resumes_after_the_last_event(table: Api) -> None:
    stream = Stream(table, f"{KV}?watch=")
    put(table, "a", 1)
    stream.until_received(1)
    stream.stop()
    put(table, "a", 2)
    put(table, "b", 3)
    table.delete(f"{KV}/b")

    resumed = Stream(table, f"{KV}?watch=", stream.last_id)
    put(table, "c", 4)

    assert contents(resumed.until_received(4)) == [
        ("kv.set", "a", 2),
        ("kv.set", "b", 3),
        ("kv.deleted", "b", None),
        ("kv.set", "c", 4),
    ]


def test_a_stream_resumes_within_a_transaction(table: Api) -> None:
    stream = Stream(table, f"{KV}?watch=")
    keys = ["a", "b", "c", "d"]
    operations = [{"op": "set", "key": key, "value": 1} for key in keys]
    table.post(f"{KV}/transaction", json={"operations": operations})
    received = stream.until_received(4)

    for index, event in enumerate(received):
        resumed = Stream(table, f"{KV}?watch=", event.id)
        put(table, "last", index)
        rest = [
            each.data["key"]
            for each in resumed.until(
                lambda received: received[-1:] and received[-1].data["key"] == "last"
            )
        ]
        resumed.stop()
        assert [key for key in rest if key != "last"] == keys[index + 1 :]

    assert len({each.data["version"] for each in received}) == 1


def test_a_stream_can_start_after_an_etag(table: Api) -> None:
    etag = table.put(f"{KV}/a", json={"value": 1}).headers["etag"]
    put(table, "b", 2)

    assert contents(Stream(table, f"{KV}?watch=", etag).until_received(1)) == [("kv.set", "b", 2)]


def test_a_gap_of_removed_versions_is_marked_as_skipped(api: Api) -> None:
    api.task("t", kv_history=3)
    stream = Stream(api, f"{KV}?watch=a,b")
    eventually(lambda: stream.last_id)
    stream.stop()
    for value in range(10):
        put(api, "a", value)
    put(api, "b", 0)

    received = Stream(api, f"{KV}?watch=a,b", stream.last_id).until(
        lambda received: received[-1:] and received[-1].data["key"] == "b"
    )

    assert [each.data["value"] for each in received] == [7, 8, 9, 0]
    assert [each.data.get("skipped", False) for each in received] == [True, False, False, False]


# ------------------------------------------------------------------------------------------- without a history
@pytest.fixture
def forgetful(api: Api) -> Api:
    """A service with a task `t` that keeps no history of its entries."""
    api.task("t", kv_history=0)
    return api


def test_deletions_are_streamed_without_a_history(forgetful: Api) -> None:
    put(forgetful, "a", 1)
    put(forgetful, "ab", 1)
    stream = Stream(forgetful, f"{KV}?watch=a*")
    eventually(lambda: stream.last_id)

    forgetful.delete(f"{KV}/a")
    stream.until_received(1)
    put(forgetful, "ac", 2)
    stream.until_received(2)
    forgetful.delete(f"{KV}/ac")
    put(forgetful, "b", 2)

    assert contents(stream.until_received(3)) == [
        ("kv.deleted", "a", None),
        ("kv.set", "ac", 2),
        ("kv.deleted", "ac", None),
    ]


def test_an_unrecorded_deletion_causes_a_reset(forgetful: Api) -> None:
    put(forgetful, "a", 1)
    stream = Stream(forgetful, f"{KV}?watch=")
    eventually(lambda: stream.last_id)
    stream.stop()
    forgetful.delete(f"{KV}/a")

    resumed = Stream(forgetful, f"{KV}?watch=", stream.last_id)
    put(forgetful, "b", 1)

    received = resumed.until_received(2)
    assert received[0].type == "kv.reset"
    assert "history" in received[0].data["reason"]
    assert contents(received[1:]) == [("kv.set", "b", 1)]


def test_a_deletion_before_the_history_was_turned_on_causes_a_reset(
    forgetful: Api,
) -> None:
    put(forgetful, "a", 1)
    stream = Slow(forgetful, f"{KV}?watch=")
    eventually(lambda: stream.last_id)
    forgetful.delete(f"{KV}/a")
    forgetful.task("t", kv_history=20)

    stream.resume()
    [reset] = stream.until_received(1)
    put(forgetful, "b", 1)

    assert reset.type == "kv.reset"
    assert "history" in reset.data["reason"]
    assert contents(stream.until_received(2)[1:]) == [("kv.set", "b", 1)]


def test_with_initial_the_entries_follow_a_reset(table: Api) -> None:
    put(table, "a", 1)
    put(table, "b", 2)
    # It does not look between the next two requests: then it would compare the keys, and need no reset.
    stream = Slow(table, f"{KV}?watch=&initial=true", "event: kv.ready")
    stream.until_received(3)
    table.task("t", kv_history=0)
    table.delete(f"{KV}/a")

    stream.resume()
    received = stream.until(lambda events: keys_since_reset(events) == ["b"])[3:]
    table.delete(f"{KV}/b")

    assert [each.type for each in received] == ["kv.reset", "kv.set", "kv.ready"]
    assert [each.id is None for each in received] == [True, True, False]
    last = stream.until(lambda events: keys_since_reset(events) == [])[-1]
    assert contents([last]) == [("kv.deleted", "b", None)]


def test_turning_the_history_off_loses_no_change(table: Api) -> None:
    put(table, "a", 1)
    stream = Stream(table, f"{KV}?watch=")
    eventually(lambda: stream.last_id)
    table.task("t", kv_history=0)

    put(table, "b", 1)
    stream.until_received(1)
    table.delete(f"{KV}/a")

    assert contents(stream.until_received(2)) == [("kv.set", "b", 1), ("kv.deleted", "a", None)]


def test_a_stream_without_losses_is_not_reset(forgetful: Api) -> None:
    stream = Stream(forgetful, f"{KV}?watch=")
    put(forgetful, "a", 1)
    stream.until_received(1)
    stream.stop()
    put(forgetful, "b", 1)

    resumed = Stream(forgetful, f"{KV}?watch=", stream.last_id)

    assert contents(resumed.until_received(1)) == [("kv.set", "b", 1)]


# -------------------------------------------------------------------------------------------- from the beginning
def test_with_initial_the_present_entries_come_first(table: Api) -> None:
    put(table, "b", 0)
    put(table, "a", 1)
    put(table, "b", 2)
    put(table, "c", 3)
    table.delete(f"{KV}/c")

    stream = Stream(table, f"{KV}?watch=&initial=true")
    received = stream.until_received(3)
    put(table, "d", 4)

    assert contents(received[:2]) == [("kv.set", "a", 1), ("kv.set", "b", 2)]
    assert [received[2].type, received[0].id, received[1].id] == ["kv.ready", None, None]
    assert contents(stream.until_received(4)[3:]) == [("kv.set", "d", 4)]


def test_many_entries_come_first(table: Api) -> None:
    operations = [{"op": "set", "key": f"k-{n}", "value": n} for n in range(120)]
    for start in range(0, 120, 60):
        table.post(f"{KV}/transaction", json={"operations": operations[start : start + 60]})

    received = Stream(table, f"{KV}?watch=&initial=true").until_received(121)

    assert {each.data["key"] for each in received[:-1]} == {each["key"] for each in operations}
    assert received[-1].type == "kv.ready"


def test_a_resumed_stream_does_not_repeat_the_present_entries(table: Api) -> None:
    put(table, "a", 1)
    stream = Stream(table, f"{KV}?watch=&initial=true")
    stream.until_received(2)
    stream.stop()

    resumed = Stream(table, f"{KV}?watch=&initial=true", stream.last_id)
    put(table, "b", 2)

    assert contents(resumed.until_received(1)) == [("kv.set", "b", 2)]


def test_a_new_task_of_the_same_name_has_a_new_table(table: Api) -> None:
    put(table, "a", 1)
    stream = Stream(table, f"{KV}?watch=")
    put(table, "b", 1)
    stream.until_received(1)
    table.delete("/v1/tasks/t")
    assert stream.until_received(2)[1].type == "task.deleted"
    stream.join()
    table.task("t")
    put(table, "c", 1)

    received = Stream(table, f"{KV}?watch=&initial=true", stream.last_id).until_received(3)

    assert [each.type for each in received] == ["kv.reset", "kv.set", "kv.ready"]
    assert received[1].data["key"] == "c"


# --------------------------------------------------------------------------------------------------- many at once
def test_each_change_of_many_writers_is_received_once_despite_disconnections(table: Api) -> None:
    """Nothing is lost and nothing repeated, however often the stream breaks while others write."""
    writers, writes = 4, 15

    def write(number: int) -> list[tuple[str, int]]:
        made = []
        for value in range(writes):
            entry = put(table, f"k-{(number + value) % 3}", [number, value])
            made.append((entry["key"], entry["version"]))
        return made

    received: list[tuple[str, int]] = []
    last_id: str | None = None
    with ThreadPoolExecutor(writers) as threads:
        first = Stream(table, f"{KV}?watch=")
        eventually(lambda: first.last_id)
        last_id = first.last_id
        first.stop()
        writing = [threads.submit(write, number) for number in range(writers)]
        while len(received) < writers * writes:
            stream = Stream(table, f"{KV}?watch=", last_id)
            stream.until_received(1)
            stream.stop()
            received += [(each.data["key"], each.data["version"]) for each in stream.events]
            last_id = stream.last_id
        made = [each for future in writing for each in future.result()]

    assert Counter(received) == Counter(made)
    assert [version for _, version in received] == sorted(version for _, version in made)


# ----------------------------------------------------------------------------------------------- keys and queries
@shares_service
@pytest.mark.parametrize("pattern", ["a%0A", "a%0A*", "%0A", "a*b", "a/b"])
def test_an_invalid_key_cannot_be_watched(table: Api, pattern: str) -> None:
    problem(table.get(f"{KV}?watch={pattern}"), 422, "invalid-filter")


@shares_service
def test_at_most_a_hundred_keys_can_be_watched(table: Api) -> None:
    hundred = ",".join(f"k{number}{'*' if number % 2 else ''}" for number in range(100))

    refused = problem(table.get(f"{KV}?watch={hundred},more"), 422, "invalid-filter")

    assert "at most 100" in refused["detail"]
    stream = Stream(table, f"{KV}?watch={hundred}")
    put(table, "k98", 1)
    put(table, "k99-and-more", 2)
    assert contents(stream.until_received(2)) == [
        ("kv.set", "k98", 1),
        ("kv.set", "k99-and-more", 2),
    ]
    stream.stop()


def test_a_quiet_stream_is_kept_alive_and_its_id_advances(table: Api) -> None:
    table.app.state.services.streams.heartbeat = 0.05
    stream = Stream(table, f"{KV}?watch=a")
    begun = eventually(lambda: stream.last_id)

    put(table, "b", 1)

    eventually(lambda: stream.last_id != begun)
    assert ": alive\n" in stream.text
    assert stream.events == []


@shares_service
def test_an_unknown_task_cannot_be_watched(table: Api) -> None:
    problem(table.get("/v1/tasks/nobody/kv?watch="), 404, "not-found")


@shares_service
@pytest.mark.parametrize(
    ("query", "slug"),
    [
        ("watch=a/b", "invalid-filter"),
        ("watch=a*b", "invalid-filter"),
        ("watch=-", "invalid-filter"),
        ("watch=a&limit=5", "invalid-filter"),
        ("watch=a&prefix=b", "invalid-filter"),
        ("initial=perhaps", "invalid"),
    ],
)
def test_invalid_parameters_of_a_watch_are_refused(table: Api, query: str, slug: str) -> None:
    problem(table.get(f"{KV}?{query}"), 422, slug)


@shares_service
@pytest.mark.parametrize("id", ["x", "1", "0193.1", "x" * 36 + ".1", "a.b.c", "1-1"])
def test_a_malformed_last_event_id_is_refused(table: Api, id: str) -> None:
    refused = table.get(f"{KV}?watch=", headers={"Last-Event-ID": id})

    problem(refused, 422, "invalid-header")
