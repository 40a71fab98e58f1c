"""Goes through the cases with a driver: what differs is collected, case by case."""

import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, assert_never
from uuid import uuid4

import httpx

from tests.conformance.cases import (
    Case,
    ClientStep,
    EventPosition,
    ServiceStep,
    Step,
    read_cases,
)
from tests.conformance.driver import Driver, DriverFailed
from tests.conformance.matching import ABSENT, Variables, differences, fill
from tests.conformance.proxy import Proxy, Script, proxying

PATIENCE = 30.0


@dataclass(frozen=True)
class Verdict:
    """What a case has come to: no faults, what is not as it must be, or an operation that the client does not have."""

    file: str
    case: str
    faults: tuple[str, ...] = ()
    unsupported: str | None = None


class _Unsupported(Exception):
    """The client has no such operation."""


class Runner:
    """Runs cases against one service, with one driver."""

    def __init__(self, service: httpx.Client, proxy: Proxy, driver: Driver, prefix: str) -> None:
        self._service = service
        self._proxy = proxy
        self._driver = driver
        self._prefix = prefix
        self._numbers = itertools.count(1)

    def run(self, case: Case) -> Iterator[str]:
        """Go through the steps of a case, up to the first one with faults; return those."""
        number = next(self._numbers)
        variables: Variables = {"task": f"{self._prefix}-{number}"}
        variables |= {"url": self._proxy.url, "tag": f"tag-{variables['task']}"}
        for position, step in enumerate(case.steps, 1):
            faults = list(self._step(step, variables))
            if faults:
                yield from (f"step {position}: {fault}" for fault in faults)
                return

    def _step(self, step: Step, variables: Variables) -> Iterator[str]:
        match step:
            case ServiceStep():
                yield from self._ask_service(step, variables)
            case EventPosition():
                variables[step.position] = self._position()
            case ClientStep():
                yield from self._ask_client(step, variables)
            case _:
                assert_never(step)

    def _ask_service(self, step: ServiceStep, variables: Variables) -> Iterator[str]:
        asked = step.service
        body = None if asked.body == "<any>" else json.dumps(fill(asked.body, variables))
        response = self._service.request(
            asked.method,
            fill(asked.path, variables),
            params=fill(asked.query, variables) or None,
            headers={"content-type": "application/json"} | fill(asked.headers, variables),
            content=body,
        )
        status = response.status_code
        if not (response.is_success if step.status is None else status == step.status):
            yield f"the service replies {status}: {response.text[:500]}"
        actual = response.json() if response.content else ABSENT
        yield from (f"stored: {each}" for each in differences(step.reply, actual, variables))

    def _position(self) -> str:
        """Return the present position of the stream of events, which its first block names."""
        with self._service.stream("GET", "/v1/events") as response:
            for line in response.iter_lines():
                if line.startswith("id:"):
                    return line.removeprefix("id:").strip()
        raise AssertionError("the stream of events has ended without a position")

    def _ask_client(self, step: ClientStep, variables: Variables) -> Iterator[str]:
        script = self._proxy.script = Script(step.wire, step.besides, variables)
        reply = self._driver.call(step.client, fill(step.arguments, variables))
        if reply.get("error", {}).get("type") == "unsupported":
            raise _Unsupported(step.client)
        yield from (f"{step.client}: {each}" for each in script.end())
        yield from (f"{step.client}: {each}" for each in _reply_differences(step, reply, variables))


def _reply_differences(
    step: ClientStep, reply: dict[str, Any], variables: Variables
) -> Iterator[str]:
    if step.fails is not None:
        if "error" not in reply:
            yield f"it returns {reply['value']!r}, and does not fail"
        else:
            yield from differences(step.fails, reply["error"], variables, at="error")
    elif "error" in reply:
        yield f"it fails: {reply['error']!r}"
    else:
        yield from differences(step.returns, reply["value"], variables, at="value")


def run_all(
    service_url: str, key: str, command: str, chosen: Iterable[str] = ()
) -> Iterator[Verdict]:
    """Run all cases with a driver, or those only whose file or name has one of the words.

    A driver that ends or is silent fails its case, and is started again for the next one.
    """
    words = tuple(chosen)
    left = [
        (file, case)
        for file, case in read_cases()
        if not words or any(word in file or word in case.name for word in words)
    ]
    headers = {"authorization": f"Bearer {key}"}
    client = httpx.Client(base_url=service_url, headers=headers, timeout=PATIENCE, trust_env=False)
    with client, proxying(service_url) as proxy:
        prefix = f"c{uuid4().hex[:8]}"
        while left:
            yield from _with_one_driver(client, proxy, command, key, prefix, left)


def _with_one_driver(
    client: httpx.Client,
    proxy: Proxy,
    command: str,
    key: str,
    prefix: str,
    left: list[tuple[str, Case]],
) -> Iterator[Verdict]:
    environment = {"ROTA_URL": proxy.url, "ROTA_KEY": key}
    with Driver(command, environment) as driver:
        runner = Runner(client, proxy, driver, f"{prefix}-{len(left)}")
        while left:
            file, case = left.pop(0)
            try:
                yield Verdict(file, case.name, tuple(runner.run(case)))
            except _Unsupported as missing:
                yield Verdict(file, case.name, unsupported=str(missing))
            except DriverFailed as failure:
                yield Verdict(file, case.name, (str(failure),))
                return
