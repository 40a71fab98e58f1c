"""What goes over the wire."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from rota.client import wire
from rota.client.address import address
from rota.client.models.runs import Progress
from rota.client.sse import ServerSentEvent, SseDecoder

BIG = 12345678901234567890123456789


def test_values_are_written_as_the_api_takes_them() -> None:
    value = {
        "at": datetime(2026, 1, 2, 3, tzinfo=UTC),
        "day": date(2026, 1, 2),
        "for": timedelta(minutes=1.5),
        "id": UUID(int=1),
        "tags": {"b", "a"},
        "model": Progress(fraction=1, message=None),
        "text": "ü\u2028",
        "big": BIG,
    }

    assert wire.decode(wire.encode(value)) == {
        "at": "2026-01-02T03:00:00+00:00",
        "day": "2026-01-02",
        "for": 90.0,
        "id": "00000000-0000-0000-0000-000000000001",
        "tags": ["a", "b"],
        "model": {"fraction": 1, "message": None},
        "text": "ü\u2028",
        "big": BIG,
    }


@pytest.mark.parametrize("value", [float("nan"), datetime(2026, 1, 1), object()])  # noqa: DTZ001
def test_what_json_cannot_carry_is_refused(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        wire.encode([value])


@pytest.mark.parametrize("part", ["", ".", ".."])
def test_a_name_that_would_lead_to_another_path_is_refused(part: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        wire.path("tasks", "t", "kv", part)


def test_names_are_escaped_in_paths_and_queries() -> None:
    assert wire.path("tasks", "a/b?c") == "/v1/tasks/a%2Fb%3Fc"
    query = {"at": datetime(2026, 1, 1, tzinfo=UTC), "tag": ["a b", "c"], "no": None, "yes": True}
    assert wire.query(query) == "at=2026-01-01T00%3A00%3A00%2B00%3A00&tag=a+b&tag=c&yes=true"


def test_the_address_and_the_key_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROTA_URL", "https://rota.example/base/")
    monkeypatch.setenv("ROTA_KEY", "rota_secret")

    made = address(None, None)

    assert (made.url, made.key) == ("https://rota.example/base", "rota_secret")
    assert "secret" not in repr(made)
    assert address("http://other", "k").headers["Authorization"] == "Bearer k"


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://rota", "http://", "http://rota/?a=1", "http://rota:x"]
)
def test_what_is_no_url_of_a_service_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|Port"):
        address(url, None)


def test_a_key_is_taken_from_a_file_as_it_is_and_never_shown() -> None:
    assert address("http://rota", "rota_secret\n").key == "rota_secret"
    for url, key in (("http://me:secret@rota", None), ("http://rota", "sec\nret")):
        with pytest.raises(ValueError, match="key") as caught:
            address(url, key)
        assert "secret" not in str(caught.value)


TEXT = (
    'retry: 2000\r\nid: 0-1\r\n\r\n: alive\n\nevent: run.failed\nid: 0-2\ndata: {"a":\ndata: "\u2028"}\n\n'
    "data:x\r\rdata: never ended"
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_are_read_whatever_pieces_they_come_in(size: int) -> None:
    content, decoder = TEXT.encode(), SseDecoder()
    pieces = [content[start : start + size] for start in range(0, len(content), size)]

    events = [event for piece in pieces for event in decoder.feed(piece)]

    assert events == [
        ServerSentEvent("message", "", "0-1"),
        ServerSentEvent("run.failed", '{"a":\n"\u2028"}', "0-2"),
        ServerSentEvent("message", "x", None),
    ]
    assert decoder.retry == 2.0
