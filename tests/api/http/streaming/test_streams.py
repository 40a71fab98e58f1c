"""Open streams: how many there may be, slow clients, and shutdown."""

import pytest

from rota.api.http.streaming import sse
from tests.api.marks import on_both
from tests.api.service import Api, problem, serving
from tests.api.stream_client import Slow, Stream, Stuck
from tests.support.factories import eventually

pytestmark = on_both

KV = "/v1/tasks/t/kv"


@pytest.fixture
def table(api: Api) -> Api:
    """A service with a task `t`."""
    api.task("t")
    return api


def test_the_number_of_streams_is_limited(migrated_database_url: str) -> None:
    with serving(migrated_database_url, max_streams=2) as api:
        api.task("t")
        open_streams = [Stream(api, f"{KV}?watch=") for _ in range(2)]

        refused = api.get(f"{KV}?watch=")

        assert "ROTA_MAX_STREAMS" in problem(refused, 503, "unavailable")["detail"]
        open_streams[0].stop()
        assert Stream(api, f"{KV}?watch=").status == 200


def test_a_request_that_waits_for_a_run_counts_as_a_stream(
    migrated_database_url: str,
) -> None:
    with serving(migrated_database_url, max_streams=2) as api:
        api.task("t", handler="hold")
        run = api.run("t")["id"]
        followed = Stream(api, f"/v1/runs/{run}/logs?follow=true")
        watched = Stream(api, f"{KV}?watch=")

        refused = api.get(f"/v1/runs/{run}?wait=5")
        assert "ROTA_MAX_STREAMS" in problem(refused, 503, "unavailable")["detail"]
        assert refused.headers["retry-after"]
        assert api.get(f"/v1/runs/{run}").status_code == 200
        watched.stop()
        for _ in range(3):  # and does not count any more when it ends
            assert api.read(f"/v1/runs/{run}?wait=0.05")["status"] == "running"

        api.post(f"/v1/runs/{run}/cancel")
        followed.join()


def test_a_wait_for_a_final_run_does_not_count_as_a_stream(migrated_database_url: str) -> None:
    with serving(migrated_database_url, max_streams=1) as api:
        api.task("t")
        run = api.ended(api.run("t"))["id"]
        only_stream = Stream(api, f"{KV}?watch=")

        assert api.read(f"/v1/runs/{run}?wait=5")["status"] == "succeeded"

        only_stream.stop()


def test_streams_end_when_the_service_stops(table: Api) -> None:
    watching = [Stream(table, f"{KV}?watch="), Stream(table, "/v1/events")]

    table.portal.call(table.app.state.services.streams.close)

    for stream in watching:
        stream.join()
    problem(table.get(f"{KV}?watch="), 503, "unavailable")


def test_the_present_entries_do_not_delay_a_shutdown(table: Api) -> None:
    table.put(f"{KV}/a", json={"value": 1})
    stream = Slow(table, f"{KV}?watch=&initial=true")
    eventually(lambda: stream.text)

    table.portal.call(table.app.state.services.streams.close)
    stream.resume()

    stream.join()
    assert stream.events == []


def test_a_client_that_does_not_receive_is_disconnected(
    table: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "SEND_TIMEOUT", 0.05)
    stuck = Stuck(table, f"{KV}?watch=")

    stuck.join()

    assert table.app.state.services.streams._open == 0
