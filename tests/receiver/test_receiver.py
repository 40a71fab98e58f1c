"""The receiver kit in an app: what it verifies, what it answers, and what it does once."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI
from pydantic import BaseModel, Field

from rota.receiver import (
    OUTCOME_TYPE,
    Call,
    Claim,
    Fail,
    InMemoryOutcomes,
    Receiver,
    Record,
    Retry,
)
from rota.receiver.testing import signed_call

KEY = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OLD = "whsec_" + base64.b64encode(bytes(range(1, 33))).decode()


class Bill(BaseModel):
    customer: str
    amount: int = Field(gt=0)


class App:
    """An app with endpoints that count what they do."""

    def __init__(self, *keys: str, **options: Any) -> None:
        self.done: list[Any] = []
        self.entered, self.gate = asyncio.Event(), asyncio.Event()
        self.app = FastAPI()
        self.receiver = Receiver(*(keys or (KEY,)), **options)

    def endpoint(self, path: str, function: Any, **options: Any) -> None:
        made = (
            self.receiver.endpoint(**options)(function)
            if options
            else self.receiver.endpoint(function)
        )
        self.app.post(path)(made)

    async def post(self, path: str, *calls: dict[str, Any]) -> list[httpx.Response]:
        """Make calls at the same time."""
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            return await asyncio.gather(*(client.post(path, **each) for each in calls))

    def answer(self, path: str, call: dict[str, Any]) -> httpx.Response:
        return asyncio.run(self.post(path, call))[0]

    def outcome(self, path: str, call: dict[str, Any]) -> Any:
        answer = self.answer(path, call)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == OUTCOME_TYPE
        return answer.json()


@pytest.fixture
def app() -> App:
    made = App()

    async def bill(call: Call, input: Bill) -> dict[str, Any]:
        made.done.append(input.customer)
        call.kv.increment("bills")
        return {"number": len(made.done)}

    made.endpoint("/bill", bill)
    return made


BILL = {"customer": "ada", "amount": 12}
BILLED = {"result": {"number": 1}, "kv": [{"op": "increment", "key": "bills", "by": 1}]}


def test_a_call_is_answered_with_the_result_and_the_writes(app: App) -> None:
    assert app.outcome("/bill", signed_call(KEY, BILL)) == BILLED
    assert app.done == ["ada"]


@pytest.mark.parametrize(
    "headers",
    [
        {"webhook-id": "another"},
        {"webhook-id": ""},
        {"webhook-timestamp": "1"},
        {"webhook-timestamp": "nan"},
        {"webhook-timestamp": "١٢"},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1a,abc v1,\xff"},
    ],
)
def test_a_call_that_is_not_signed_does_nothing(app: App, headers: dict[str, str]) -> None:
    call = signed_call(KEY, BILL)
    changed = {name: value.encode() for name, value in (call["headers"] | headers).items()}

    assert app.answer("/bill", call | {"headers": changed}).status_code == 401
    assert app.done == []


def test_a_call_with_another_body_or_by_another_key_does_nothing(app: App) -> None:
    call = signed_call(KEY, BILL)

    assert app.answer("/bill", call | {"content": call["content"] + b" "}).status_code == 401
    assert app.answer("/bill", signed_call(OLD, BILL)).status_code == 401
    assert app.done == []


@pytest.mark.parametrize("age", [-330, 301])
def test_a_call_from_another_time_does_nothing(app: App, age: int) -> None:
    from rota.clock import SystemClock

    at = SystemClock().now().timestamp() - age

    assert app.answer("/bill", signed_call(KEY, BILL, sent_at=at)).status_code == 401
    assert app.done == []


def test_any_of_several_keys_and_signatures_will_do() -> None:
    both = App(KEY, OLD)
    both.endpoint("/", _input)
    call = signed_call(OLD, 1)
    old = call["headers"]["webhook-signature"]
    call["headers"]["webhook-signature"] = f"v1,bm90aGluZw== {old}"

    assert both.outcome("/", call)["result"] == 1


def test_keys_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    made, without = App(), App()
    made.receiver, without.receiver = Receiver(), Receiver()
    for each in (made, without):
        each.endpoint("/", _input)

    assert without.answer("/", signed_call(KEY, 1)).status_code == 500
    monkeypatch.setenv("ROTA_SIGNING_KEYS", f"{OLD}, {KEY}")
    assert made.outcome("/", signed_call(KEY, 1))["result"] == 1


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_c2hvcnQ=", "secret"])
def test_what_is_no_key_is_refused_at_once(text: str) -> None:
    with pytest.raises(ValueError, match="signing key"):
        Receiver(text)


async def _input(call: Call) -> Any:
    return call.input


def test_a_body_that_is_too_large_is_refused_before_it_is_read_whole() -> None:
    small = App(most_bytes=100)
    small.endpoint("/", _input)

    assert small.answer("/", signed_call(KEY, "x" * 100)).status_code == 413


def test_what_raises_retry_or_fail_says_so() -> None:
    made = App()

    def ends(call: Call, input: str) -> None:
        call.kv.set("lost", 1)
        raise {"retry": Retry("5m", "rate limited"), "fail": Fail("no such customer")}[input]

    made.endpoint("/", ends)

    assert made.outcome("/", signed_call(KEY, "retry")) == {
        "retry": {"after": 300, "reason": "rate limited"}
    }
    assert made.outcome("/", signed_call(KEY, "fail")) == {"fail": {"reason": "no such customer"}}


def test_an_input_that_does_not_fit_fails_the_run_without_its_values(app: App) -> None:
    outcome = app.outcome("/bill", signed_call(KEY, {"customer": "secret", "amount": -17}))

    assert "/amount" in outcome["fail"]["reason"]
    assert "17" not in outcome["fail"]["reason"]
    assert app.done == []


def test_an_exception_is_a_500_and_the_same_call_acts_again() -> None:
    made = App()

    async def breaks(call: Call) -> int:
        made.done.append(call.attempt)
        if len(made.done) == 1:
            raise RuntimeError("broken")
        return 7

    made.endpoint("/", breaks)
    call = signed_call(KEY, 1)

    assert made.answer("/", call).status_code == 500
    assert made.outcome("/", call)["result"] == 7


def test_the_entries_of_a_call_are_read_and_own_writes_seen() -> None:
    made = App()

    async def reads(call: Call, input: Any) -> Any:
        call.kv.increment("seen", 2)
        call.kv.append("log", "b")
        call.kv.set("seen:9", True, ttl=60)
        return [
            input,
            call.kv.get("cursor"),
            call.kv.get("none", "-"),
            call.kv.get("seen"),
            call.kv.get("seen:3", 0),
            list(call.kv.items("seen")),
        ]

    made.endpoint("/", reads, kv=["cursor", "seen:*"])
    call = signed_call(KEY, {"n": 1}, kv={"cursor": 8, "none": None, "seen": 3, "seen:1": 1})

    outcome = made.outcome("/", call)

    assert outcome["result"] == [
        {"n": 1},
        8,
        "-",
        5,
        0,
        [["seen", 5], ["seen:1", 1], ["seen:9", True]],
    ]
    assert outcome["kv"][2] == {"op": "set", "key": "seen:9", "value": True, "ttl": 60}


@pytest.mark.parametrize("kv", [None, {"other": 1}])
def test_an_entry_that_is_not_sent_is_no_missing_entry(kv: Any) -> None:
    made = App()

    async def reads(call: Call) -> Any:
        return call.kv.get("cursor", 0)

    made.endpoint("/", reads)

    assert made.outcome("/", signed_call(KEY, {}, kv=kv))["fail"]["reason"] == (
        "the call does not carry the entry 'cursor': name it in target.kv of the task"
    )


def test_an_input_that_looks_like_entries_is_an_input() -> None:
    made = App()
    made.endpoint("/", _input)
    forged = {"input": 1, "kv": {"a": 1}, "run": {"id": "another"}}

    assert made.outcome("/", signed_call(KEY, forged))["result"] == forged


def test_a_call_that_comes_again_gets_the_same_outcome(app: App) -> None:
    first = signed_call(KEY, BILL, run_id="one")
    later = signed_call(KEY, BILL, run_id="one", attempt=2)

    assert [app.outcome("/bill", each) for each in (first, first, later)] == [BILLED] * 3
    assert app.done == ["ada"]
    assert app.outcome("/bill", signed_call(KEY, BILL, run_id="two")) != BILLED


def test_calls_of_a_run_that_come_at_once_act_once() -> None:
    async def story() -> list[Any]:
        made = App()

        async def waits(call: Call) -> int:
            made.done.append(call.attempt)
            made.entered.set()
            await made.gate.wait()
            return len(made.done)

        made.endpoint("/", waits)
        calls = [signed_call(KEY, 1, run_id="one", attempt=attempt) for attempt in (1, 1, 1, 2)]
        together = asyncio.create_task(made.post("/", *calls))
        await made.entered.wait()
        made.gate.set()
        return [made.done, [answer.json()["result"] for answer in await together]]

    assert asyncio.run(story()) == [[1], [1, 1, 1, 1]]


def test_a_later_attempt_with_other_entries_is_computed_again() -> None:
    made = App()

    async def moves(call: Call) -> int:
        cursor: int = call.kv.get("cursor", 0)
        call.kv.set("cursor", cursor + 1)
        return cursor

    made.endpoint("/", moves)
    calls = [
        signed_call(KEY, 1, run_id="one", attempt=attempt, kv={"cursor": cursor})
        for attempt, cursor in ((1, 5), (2, 5), (3, 8))
    ]

    assert [made.outcome("/", each)["result"] for each in calls] == [5, 5, 8]


def test_a_retry_is_answered_once_for_its_attempt_and_the_next_attempt_acts() -> None:
    made = App()

    async def tries(call: Call) -> str:
        made.done.append(call.attempt)
        if call.attempt == 1:
            raise Retry(reason="not yet")
        return "done"

    made.endpoint("/", tries)
    first, second = (signed_call(KEY, 1, run_id="one", attempt=attempt) for attempt in (1, 2))

    assert "retry" in made.outcome("/", first)
    assert "retry" in made.outcome("/", first)
    assert made.outcome("/", second)["result"] == "done"
    assert made.outcome("/", first)["result"] == "done"
    assert made.done == [1, 2]


def test_an_old_attempt_with_other_entries_is_refused() -> None:
    made = App()

    async def acts(call: Call) -> int:
        made.done.append(call.attempt)
        return call.attempt

    made.endpoint("/", acts)
    first, second = (
        signed_call(KEY, 1, run_id="one", attempt=attempt, kv={"cursor": attempt})
        for attempt in (1, 2)
    )

    assert made.outcome("/", second)["result"] == 2
    assert made.answer("/", first).status_code == 409
    assert made.done == [2]


def test_a_forged_number_of_an_attempt_keeps_no_other_attempt_out() -> None:
    made = App()

    async def tries(call: Call) -> str:
        made.done.append(call.attempt)
        if len(made.done) < 3:
            raise Retry(reason="not yet")
        return "done"

    made.endpoint("/", tries)
    forged = signed_call(KEY, 1, run_id="one", attempt=1)
    forged["headers"]["x-rota-attempt"] = "999999"

    assert "retry" in made.outcome("/", signed_call(KEY, 1, run_id="one", attempt=1))
    assert "retry" in made.outcome("/", forged)
    assert made.outcome("/", signed_call(KEY, 1, run_id="one", attempt=2))["result"] == "done"
    assert made.outcome("/", forged)["result"] == "done"
    assert made.done == [1, 999_999, 2]


def test_outcomes_in_memory_are_bounded() -> None:
    async def story(outcomes: InMemoryOutcomes) -> list[bool]:
        for run in range(4):
            async with outcomes.exclusively(str(run)) as claim:
                claim.record = Record(1, "", "succeeded", b"x" * 100)
        found = []
        for run in range(4):
            async with outcomes.exclusively(str(run)) as claim:
                found.append(claim.record is not None)
        assert outcomes._lines == {}
        return found

    assert asyncio.run(story(InMemoryOutcomes(most=3))) == [False, True, True, True]
    assert asyncio.run(story(InMemoryOutcomes(most_bytes=250))) == [False, False, True, True]


def test_a_store_of_ones_own_is_given_to_the_endpoint() -> None:
    class Transactions(InMemoryOutcomes):
        @asynccontextmanager
        async def exclusively(self, run_id: str) -> AsyncIterator[Claim]:
            async with super().exclusively(run_id) as claim:
                kept.append(claim)
                yield claim

    kept: list[Claim] = []
    made = App(outcomes=Transactions())

    async def writes(call: Call) -> bool:
        return call.claim is kept[0]

    made.endpoint("/", writes)

    assert made.outcome("/", signed_call(KEY))["result"] is True


def test_dependencies_of_the_app_see_verified_calls_only() -> None:
    made = App()
    opened: list[str] = []

    def session() -> Iterator[str]:
        opened.append("session")
        yield "session"

    async def uses(
        call: Call, session: Annotated[str, Depends(session)], page: int = 1
    ) -> list[Any]:
        return [session, page]

    made.endpoint("/", uses)

    assert made.answer("/", signed_call(OLD)).status_code == 401
    assert opened == []
    assert made.outcome("/?page=3", signed_call(KEY))["result"] == ["session", 3]


def test_a_function_without_the_call_is_refused() -> None:
    async def wrong(input: int) -> None: ...

    with pytest.raises(TypeError, match="annotate it with Call"):
        App().receiver.endpoint(wrong)


def test_an_endpoint_in_the_background_needs_a_target_that_is_async() -> None:
    made = App()
    made.endpoint("/", _input, background=True)

    answer = made.answer("/", signed_call(KEY, 1))

    assert answer.status_code == 400
    assert '"async": true' in answer.json()["detail"]


def test_other_bodies_than_json_arrive_as_bytes() -> None:
    made = App()

    async def reads(call: Call) -> str:
        return repr(call.input)

    made.endpoint("/", reads)
    call = signed_call(KEY, "text")
    call["headers"]["content-type"] = "text/plain; charset=utf-8"

    assert made.outcome("/", call)["result"] == repr(json.dumps("text").encode())


def test_a_signature_is_not_taken_for_one_of_another_id_and_time(app: App) -> None:
    """What is signed is `id.timestamp.body`: a number as the body could be read as another timestamp."""
    now = int(time.time())
    call = signed_call(KEY, float(now), run_id="r1", sent_at=now - 1_000)
    body = call["content"].removeprefix(f"{now}.".encode())
    moved = {"webhook-id": f"r1.{now - 1_000}", "webhook-timestamp": str(now)}

    answer = app.answer("/bill", {"content": body, "headers": call["headers"] | moved})

    assert answer.status_code == 401
