"""GET /v1/runs/{id}/logs: pages, and server-sent events."""

import threading
from typing import Any

import pytest

from tests.api.handlers import open_gate, wait_entered
from tests.api.marks import on_both, shares_service
from tests.api.service import Api, pointers, problem
from tests.api.stream_client import Stream, read_events
from tests.api.tasks.test_list import walk
from tests.support.factories import eventually

pytestmark = on_both


def talked(api: Api, lines: int) -> dict[str, Any]:
    """Return a finished run that has printed so many lines."""
    api.task("t", handler="talk", input=lines)
    return api.ended(api.run("t"))


def follow(api: Api, run: dict[str, Any]) -> Stream:
    return Stream(api, f"/v1/runs/{run['id']}/logs?follow=true")


def test_lines_are_listed_in_the_order_in_which_they_were_written(api: Api) -> None:
    run = talked(api, 3)

    lines = api.items(f"/v1/runs/{run['id']}/logs")

    assert [line["message"] for line in lines] == ["line 1", "line 2", "line 3", "that was all"]
    assert [line["level"] for line in lines] == ["stdout", "stdout", "stdout", "warning"]
    assert [(line["attempt"], line["line"]) for line in lines] == [(1, n) for n in range(1, 5)]
    assert run["started_at"] <= lines[0]["at"] <= run["finished_at"]


def test_pages_have_every_line_once(api: Api) -> None:
    run = talked(api, 24)

    pages = list(walk(api, f"/v1/runs/{run['id']}/logs?limit=10"))

    assert [len(page) for page in pages] == [10, 10, 5]
    assert [line["line"] for page in pages for line in page] == list(range(1, 26))


def test_a_run_without_output_has_no_lines(api: Api) -> None:
    api.task("t")
    run = api.ended(api.run("t"))

    assert api.read(f"/v1/runs/{run['id']}/logs") == {"items": [], "next_cursor": None}


def test_following_a_finished_run_streams_all_lines_and_ends(api: Api) -> None:
    run = talked(api, 300)

    answer = api.get(f"/v1/runs/{run['id']}/logs?follow=true")

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    *lines, end = read_events(answer.text)
    assert [each.data["line"] for each in lines] == list(range(1, 302))
    assert {(each.type, each.timestamp == each.data["at"]) for each in lines} == {("log", True)}
    assert (end.type, end.data) == ("end", {"status": "succeeded"})


def test_following_streams_lines_during_the_run(api: Api) -> None:
    api.task("t", handler="hold")
    run = api.run("t")
    wait_entered("t")
    threading.Timer(0.2, open_gate, ["t"]).start()

    log, end = read_events(api.get(f"/v1/runs/{run['id']}/logs?follow=true").text)

    assert (log.type, log.data["message"]) == ("log", "holding")
    assert (end.type, end.data) == ("end", {"status": "succeeded"})


def test_following_ends_when_the_task_is_deleted(api: Api) -> None:
    api.task("t")
    run = api.run("t", scheduled_for="2999-01-01T00:00:00Z")
    threading.Timer(0.2, api.delete, ["/v1/tasks/t"]).start()

    events = read_events(api.get(f"/v1/runs/{run['id']}/logs?follow=true").text)

    assert [(each.type, each.data) for each in events] == [("end", {"status": "cancelled"})]


def test_a_quiet_stream_of_logs_is_kept_alive_with_an_id_to_resume_after(api: Api) -> None:
    api.app.state.services.streams.heartbeat = 0.05
    api.task("t")
    run = api.run("t", scheduled_for="2999-01-01T00:00:00Z")

    stream = follow(api, run)

    assert stream.last_id == "0.0"
    eventually(lambda: ": alive\nid: 0.0\n" in stream.text)
    assert stream.events == []
    stream.stop()


def test_a_stream_of_logs_ends_when_the_service_stops(api: Api) -> None:
    api.task("t")
    run = api.run("t", scheduled_for="2999-01-01T00:00:00Z")
    stream = follow(api, run)

    api.portal.call(api.app.state.services.streams.close)

    stream.join()
    assert stream.events == []


@shares_service
@pytest.mark.parametrize(
    ("query", "header", "first"),
    [
        ("last_event_id=1.2", None, 3),
        ("", "1.2", 3),
        ("last_event_id=1.1", "1.3", 4),
        ("last_event_id=9.9", None, None),
    ],
)
def test_following_resumes_after_the_last_line_that_was_received(
    api: Api, query: str, header: str | None, first: int | None
) -> None:
    run = talked(api, 3)
    headers = {} if header is None else {"Last-Event-ID": header}

    answer = api.get(f"/v1/runs/{run['id']}/logs?follow=true&{query}", headers=headers)

    *lines, end = read_events(answer.text)
    assert [each.data["line"] for each in lines] == ([] if first is None else list(range(first, 5)))
    assert (end.type, end.data) == ("end", {"status": "succeeded"})


@shares_service
@pytest.mark.parametrize("last", ["x", "1", "1.2.3", "-1.2", "1.", "1." + "9" * 20])
def test_a_malformed_last_event_id_of_logs_is_refused(api: Api, last: str) -> None:
    run = talked(api, 1)
    path = f"/v1/runs/{run['id']}/logs?follow=true"

    in_query = api.get(f"{path}&last_event_id={last}")
    in_header = api.get(path, headers={"Last-Event-ID": last})

    problem(in_query, 422, "invalid-filter")
    problem(in_header, 422, "invalid-header")
    assert (pointers(in_query), pointers(in_header)) == (["last_event_id"], ["Last-Event-ID"])


@shares_service
@pytest.mark.parametrize(
    "query",
    ["follow=maybe", "cursor=x", "cursor=WyItMSIsIjEiXQ", "tail=5", "last_event_id=1.2"],
)
def test_invalid_queries_are_refused(api: Api, query: str) -> None:
    run = talked(api, 1)

    assert api.get(f"/v1/runs/{run['id']}/logs?{query}").status_code == 422


def test_the_lines_of_an_unknown_run_are_404(api: Api) -> None:
    problem(api.get("/v1/runs/00000000-0000-7000-8000-000000000000/logs"), 404, "not-found")
