"""Clients and runs that read and write the same entries at once: there is one order that explains all that they saw."""

import random
from collections import defaultdict
from itertools import count
from typing import Any

import anyio
import pytest

from tests.api.marks import always_on_both
from tests.api.service import Api
from tests.support.linearizability import Impossible, Operation, State, Step, unexplained
from tests.support.torture import Part, torture

KEYS = ("a", "b", "c", "d")
CLIENTS = 8
RUNNERS = 2
#: For how many seconds a run may meet others' writes until it ends.
PATIENCE = 300


# ------------------------------------------------------------------------------------------------------ the checker
def _reads(value: State) -> Step:
    def step(state: State) -> State:
        if state != value:
            raise Impossible
        return state

    return step


def _swaps(before: State, after: State) -> Step:
    def step(state: State) -> State:
        _reads(before)(state)
        return after

    return step


def _writes(value: State) -> Step:
    return lambda _: value


def _is_not(value: State) -> Step:
    def step(state: State) -> State:
        if state == value:
            raise Impossible
        return state

    return step


def _history(*operations: tuple[int, int, Step]) -> list[Operation]:
    return [Operation(*each, description=str(each[:2])) for each in operations]


@pytest.mark.parametrize(
    "history",
    [
        _history((0, 1, _writes("x")), (2, 3, _reads("x"))),
        _history((0, 5, _writes("x")), (1, 2, _reads(None)), (3, 4, _reads("x"))),
        _history((0, 9, _writes("x")), (0, 9, _writes("y")), (10, 11, _reads("x"))),
        _history((0, 9, _swaps("x", "y")), (1, 8, _writes("x")), (10, 11, _reads("y"))),
    ],
)
def test_a_history_with_a_linear_order_is_accepted(history: list[Operation]) -> None:
    assert unexplained(history) is None


@pytest.mark.parametrize(
    "history",
    [
        _history((0, 1, _writes("x")), (2, 3, _reads(None))),  # a lost write
        _history((0, 9, _writes("x")), (1, 2, _reads("x")), (3, 4, _reads(None))),  # back in time
        _history((0, 9, _swaps(None, "x")), (0, 9, _swaps(None, "y"))),  # two winners
        _history(
            (0, 1, _writes("x")), (0, 1, _writes("y")), (2, 3, _reads("x")), (4, 5, _reads("y"))
        ),
    ],
)
def test_a_history_without_a_linear_order_is_found(history: list[Operation]) -> None:
    assert unexplained(history) is not None


# ------------------------------------------------------------------------------------------------------ the service
class Crowd:
    """Clients and runs at work on the table of one task, and what each of them saw."""

    def __init__(self, api: Api, seed: int, operations: int) -> None:
        self.api = api
        self.seed = seed
        self.left = operations
        self.seen: dict[str, list[Operation]] = defaultdict(list)
        self.numbers = count(1)
        self.clock = count(1)

    async def work(self) -> None:
        async with anyio.create_task_group() as group:
            for number in range(CLIENTS):
                group.start_soon(self._ask, random.Random(self.seed + number))
            for number in range(RUNNERS):
                group.start_soon(self._run, random.Random(self.seed - 1 - number))

    async def _ask(self, dice: random.Random) -> None:
        known: dict[str, tuple[State, str]] = {}
        while self._take():
            key = dice.choice(KEYS)
            kind = dice.choice(
                [self._get, self._get, self._put, self._swap, self._create, self._delete]
            )
            called = next(self.clock)
            step, label = await kind(key, known)
            self.seen[key].append(Operation(called, next(self.clock), step, f"{key}: {label}"))

    async def _run(self, dice: random.Random) -> None:
        """A run reads a key and writes it: at its commit both at once."""
        while self._take():
            key, value = dice.choice(KEYS), self._fresh()
            called = next(self.clock)
            accepted = await self._call(
                "POST", "/v1/tasks/swap/run", json={"input": {"key": key, "value": value}}
            )
            assert accepted.status_code == 202, accepted.text
            run = await self._end_of(accepted.json()["id"])
            assert run["status"] == "succeeded", run
            step = _swaps(run["result"]["before"], value)
            label = f"run {run['result']['before']} -> {value}"
            self.seen[key].append(Operation(called, next(self.clock), step, f"{key}: {label}"))

    async def _end_of(self, id: str) -> dict[str, Any]:
        """Wait for a run. It conflicts with each client that writes its key meanwhile, on a busy machine many times."""
        run = await self._read(id)
        with anyio.move_on_after(PATIENCE):
            while run["status"] not in ("succeeded", "failed"):
                run = await self._read(id)
        return run

    async def _read(self, id: str) -> dict[str, Any]:
        answer = await self._call("GET", f"/v1/runs/{id}?wait=30")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def _get(self, key: str, known: dict[str, tuple[State, str]]) -> tuple[Step, str]:
        answer = await self._call("GET", f"/v1/tasks/swap/kv/{key}")
        value = answer.json()["value"] if answer.status_code == 200 else None
        if value is not None:
            known[key] = value, answer.headers["etag"]
        return _reads(value), f"read {value}"

    async def _put(self, key: str, _known: Any) -> tuple[Step, str]:
        value = self._fresh()
        answer = await self._write(key, value)
        assert answer.status_code in {200, 201}, answer.text
        return _writes(value), f"write {value}"

    async def _swap(self, key: str, known: dict[str, tuple[State, str]]) -> tuple[Step, str]:
        if key not in known:
            return await self._get(key, known)
        (before, tag), value = known[key], self._fresh()
        answer = await self._write(key, value, **{"If-Match": tag})
        if answer.status_code == 412:
            return _is_not(before), f"swap of {before} refused"
        assert answer.status_code == 200, answer.text
        return _swaps(before, value), f"swap {before} -> {value}"

    async def _create(self, key: str, _known: Any) -> tuple[Step, str]:
        value = self._fresh()
        answer = await self._write(key, value, **{"If-None-Match": "*"})
        if answer.status_code == 412:
            return _is_not(None), "creation refused"
        assert answer.status_code == 201, answer.text
        return _swaps(None, value), f"create {value}"

    async def _delete(self, key: str, _known: Any) -> tuple[Step, str]:
        answer = await self._call("DELETE", f"/v1/tasks/swap/kv/{key}")
        if answer.status_code == 404:
            return _reads(None), "nothing to delete"
        assert answer.status_code == 204, answer.text

        def step(state: State) -> State:
            _is_not(None)(state)
            return None

        return step, "delete"

    async def _write(self, key: str, value: str, **headers: str) -> Any:
        return await self._call(
            "PUT", f"/v1/tasks/swap/kv/{key}", json={"value": value}, headers=headers
        )

    async def _call(self, method: str, path: str, **options: Any) -> Any:
        return await self.api._call(method, path, **options)

    def _fresh(self) -> str:
        return f"v{next(self.numbers)}"

    def _take(self) -> bool:
        self.left -= 1
        return self.left >= 0


def _check(api: Api, operations: int) -> None:
    keep = {"runs": 100_000}  # none is to be removed before its client has read it
    # After 20 conflicts each is a failure; longer and longer waits would say nothing about the order.
    retry = {"max_attempts": 1_000, "backoff": "constant", "initial_interval": "1s"}
    api.task("swap", handler="swap", overlap_policy="allow", retry=retry, retention=keep)
    seed = random.randrange(2**32)
    crowd = Crowd(api, seed, operations)
    api.portal.call(crowd.work)

    assert sum(len(seen) for seen in crowd.seen.values()) == operations
    for key in KEYS:
        wrong = unexplained(crowd.seen[key])
        assert wrong is None, f"seed {seed}: no order explains {wrong}"


@always_on_both
@pytest.mark.timeout(120)
def test_operations_of_clients_and_runs_are_linearizable(api: Api) -> None:
    _check(api, 400)


@always_on_both
@torture(Part.HISTORIES)
@pytest.mark.timeout(1_800)
def test_many_operations_of_clients_and_runs_are_linearizable(api: Api) -> None:
    _check(api, 100_000)
