"""The cost of a response or of a message of a child is linear in its size, and delays no other attempt."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from rota import StopReason
from rota.daemon_threads import QUICK_BYTES
from rota.domain.runs.outcomes import Cancelled, Failed, Outcome, Succeeded
from rota.egress.requests import Response
from rota.handlers.http import response
from rota.handlers.outcomes import EndsWith
from rota.handlers.processes import protocol
from tests.handlers.bench import SNAPSHOT, Bench, started
from tests.handlers.conftest import SAMPLES
from tests.handlers.target import OUTCOME, Site
from tests.support.costs import SHAPES, bytes_of, check_growth, seconds_of
from tests.support.torture import Part, torture

MEBIBYTE = 1_048_576
#: Outcomes of about n parts, by what there are n of.
OUTCOMES = {
    "operations that are empty": lambda n: f'{{"kv":[{",".join(["{}"] * n)}]}}',
    "fields that are not known": lambda n: json.dumps({f"m{index}": 0 for index in range(n)}),
    "appended items": lambda n: json.dumps(
        {"kv": [{"op": "append", "key": "list", "value": 0}] * n}
    ),
    "keys that are not keys": lambda n: json.dumps(
        {"kv": [{"op": "set", "key": "/" * n, "value": 0}]}
    ),
}


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    limits = {"max_result_bytes": 4 * MEBIBYTE, "max_value_bytes": MEBIBYTE}
    with started(SAMPLES, http_max_body_bytes=4 * MEBIBYTE, **limits) as made:
        yield made


def read(text: str, media_type: str) -> None:
    body = text.encode("utf-8", "surrogatepass")
    reply = Response(200, {"content-type": media_type}, body, truncated=False)
    with suppress(EndsWith):
        if media_type == OUTCOME:
            response._read_outcome(reply)
        else:
            asyncio.run(response.result_of(reply))


def call(bench: Bench, site: Site) -> Outcome:
    return bench.run("http", target=site.target(method="GET"), load_kv=lambda: SNAPSHOT)


# ------------------------------------------------------------------------------------------------- growth
@pytest.mark.parametrize("media_type", ["application/json", OUTCOME])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_response_of_four_times_the_size_costs_at_most_five_times_as_much(
    shape: str, media_type: str
) -> None:
    check_growth(lambda text: read(text, media_type), SHAPES[shape], 1_000)


@torture(Part.COSTS)
@pytest.mark.parametrize("media_type", ["application/json", OUTCOME])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_large_response_of_four_times_the_size_costs_at_most_five_times_as_much(
    shape: str, media_type: str
) -> None:
    count = int(4 * MEBIBYTE / (len(SHAPES[shape](1_000)) / 1_000) / 5)
    check_growth(lambda text: read(text, media_type), SHAPES[shape], count)


@pytest.mark.parametrize("shape", OUTCOMES)
def test_an_outcome_of_four_times_the_size_costs_at_most_five_times_as_much(
    bench: Bench, site: Site, shape: str
) -> None:
    def follow(text: str) -> None:
        site.answer(200, text.encode(), OUTCOME)
        call(bench, site)

    check_growth(follow, OUTCOMES[shape], 1_000)


def test_a_response_costs_no_more_than_its_limit() -> None:
    """Absolute bounds, far above what is measured, for what took minutes and hundreds of megabytes."""
    twice = SHAPES["fields, one of them twice"](20_000)
    key = f'{{"{"k" * 60_000}":[{"0," * 4_000}"\\u0041"]}}'

    assert seconds_of(lambda: read(twice, "application/json")) < 0.3
    assert bytes_of(lambda: read(key, "application/json")) < 10_000_000


# ------------------------------------------------------------------------------------------------- limits
def test_a_response_with_too_many_values_is_stored_as_text(bench: Bench, site: Site) -> None:
    text = f"[{','.join(['0'] * 200_001)}]"
    site.answer(200, text.encode(), "application/json")

    outcome = call(bench, site)

    assert isinstance(outcome, Succeeded), outcome
    assert json.loads(outcome.result)["body"] == text


def test_an_outcome_with_too_many_values_is_refused(bench: Bench, site: Site) -> None:
    site.answer(200, f'{{"result":[{",".join(["0"] * 200_001)}]}}'.encode(), OUTCOME)

    outcome = call(bench, site)

    assert isinstance(outcome, Failed), outcome
    assert outcome.error.type == "http.outcome"
    assert outcome.error.message.endswith("The body has more than 200,000 JSON values.")


def test_an_outcome_has_as_many_operations_as_a_transaction(bench: Bench, site: Site) -> None:
    operation = {"op": "increment", "key": "seen"}
    site.answer(200, json.dumps({"kv": [operation] * 1_001}).encode(), OUTCOME)

    outcome = call(bench, site)

    assert isinstance(outcome, Failed), outcome
    assert "/kv: give at most 1,000 items" in outcome.error.message
    site.answer(200, json.dumps({"kv": [operation] * 1_000}).encode(), OUTCOME)
    assert isinstance(call(bench, site), Succeeded)


# ------------------------------------------------------------------------------------------------ waiting
@pytest.mark.parametrize(
    ("reads", "media_type"), [("_body", "application/json"), ("_read_outcome", OUTCOME)]
)
def test_a_large_response_is_read_in_a_thread_and_its_attempt_can_end_meanwhile(
    bench: Bench, site: Site, monkeypatch: pytest.MonkeyPatch, reads: str, media_type: str
) -> None:
    reading, released = threading.Event(), threading.Event()
    original: Any = getattr(response, reads)

    def slow(reply: Response) -> Any:
        reading.set()
        released.wait(10)
        return original(reply)

    monkeypatch.setattr(response, reads, slow)
    site.answer(200, json.dumps({"result": "x" * 100_000}).encode(), media_type)
    running = bench.begin("http", target=site.target(method="GET"))
    try:
        assert reading.wait(10)
        assert bench.run("echo", "1") == Succeeded("1", kv_revision=5)
        bench.cancel(running, reason=StopReason.TIMEOUT)
        assert isinstance(running.outcome(), Cancelled)
    finally:
        released.set()


def test_a_large_message_of_a_child_is_read_in_a_thread(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers: dict[bool, set[int]] = {True: set(), False: set()}
    original = protocol.unpack

    def unpack(line: bytes) -> protocol.Message:
        readers[len(line) > QUICK_BYTES].add(threading.get_ident())
        return original(line)

    monkeypatch.setattr(protocol, "unpack", unpack)

    assert isinstance(bench.run("facts-process"), Succeeded)
    outcome = bench.run("returns-process", '"huge"')

    assert isinstance(outcome, Succeeded), outcome
    assert json.loads(outcome.result) == "x" * 100_000
    assert len(readers[False]) == 1
    assert readers[True]
    assert not readers[True] & readers[False]
