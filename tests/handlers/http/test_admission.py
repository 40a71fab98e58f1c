"""Calls to a host that is down, slow or busy: the runs are postponed, and no attempt of theirs is used up."""

import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any, NoReturn

import pytest

from rota.domain.http_target.phases import CallPhase
from rota.domain.http_target.target import Target
from rota.domain.runs.outcomes import (
    Cancelled,
    Failed,
    Fatal,
    Outcome,
    Postponed,
    Succeeded,
    TimedOut,
)
from rota.egress.origins.circuit_breaker import CircuitRules
from rota.egress.origins.gate import GateRules, OriginGate, Permit
from rota.egress.origins.limits import LimitRules
from rota.handlers.http.admission import host_and_port, origin_text
from tests.handlers.bench import CLOCK, Bench, started, wait_until
from tests.handlers.conftest import SAMPLES
from tests.handlers.target import Site, deaf, get, serving, unserved

Limited = Callable[..., Bench]


@pytest.fixture
def limited() -> Iterator[Limited]:
    """Return an executor with these rules for each host."""
    with ExitStack() as stack:

        def begin(
            failures: int = 3, longest: float = 60.0, limits: LimitRules | None = None
        ) -> Bench:
            rules = GateRules(CircuitRules(failures, longest, longest), limits or LimitRules(64))
            return stack.enter_context(started(SAMPLES, origin_gate=OriginGate(rules)))

        yield begin


@pytest.fixture
def down() -> Iterator[socket.socket]:
    with unserved() as bound:
        yield bound


def call(bench: Bench, at: socket.socket, **fields: Any) -> Outcome:
    return bench.run("http", target=Target(url=url(at), **fields))


def url(at: socket.socket) -> str:
    return f"http://127.0.0.1:{at.getsockname()[1]}/x"


def postponed(outcome: Outcome) -> Postponed:
    assert isinstance(outcome, Postponed), outcome
    return outcome


def test_a_host_that_refuses_connections_is_called_no_more(
    limited: Limited, down: socket.socket
) -> None:
    bench = limited(failures=3)

    failed = [call(bench, down) for _ in range(3)]
    found = postponed(call(bench, down))

    assert all(isinstance(each, Failed) and each.error.type == "http.connect" for each in failed)
    assert found.waiting_on == f"circuit:127.0.0.1:{down.getsockname()[1]}"
    assert timedelta(seconds=45) < found.until - CLOCK.now() <= timedelta(seconds=60.1)
    assert found.error.type == "http.circuit"


def test_the_outage_of_a_host_uses_only_the_attempts_before_its_circuit_opened(
    limited: Limited, down: socket.socket
) -> None:
    bench = limited(failures=2, longest=0.1)
    used: Counter[type[Outcome]] = Counter()
    probes: list[str] = []
    for _ in range(12):
        found = call(bench, down)
        used[type(found)] += 1
        if isinstance(found, Postponed):
            probes += [found.error.type]
            wait_until(lambda until=found.until: CLOCK.now() >= until, "time stands still")  # type: ignore[misc]

    assert used == {Failed: 2, Postponed: 10}
    assert set(probes[1:]) == {"http.connect"}  # they were the probes
    with serving(down) as site:
        ends = [call(bench, down) for _ in range(20)]
        assert len(site.received) == 20
    assert all(isinstance(each, Succeeded) for each in ends)


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_gateway_without_a_service_behind_it_is_down(
    limited: Limited, site: Site, status: int
) -> None:
    bench = limited(failures=2)
    site.answer(status)

    assert not any(isinstance(get(bench, site), Postponed) for _ in range(2))
    postponed(get(bench, site))
    assert len(site.received) == 2


@pytest.mark.parametrize(
    ("status", "fields"),
    [(500, {}), (404, {}), (429, {}), (503, {"success_codes": [503]}), (200, {})],
)
def test_an_answer_of_the_service_itself_stops_no_other_task_of_its_host(
    limited: Limited, site: Site, status: int, fields: dict[str, Any]
) -> None:
    bench = limited(failures=2)
    site.answer(status)

    assert not any(isinstance(get(bench, site, **fields), Postponed) for _ in range(5))


def test_a_service_that_is_silent_or_hangs_up_is_not_down(limited: Limited, site: Site) -> None:
    bench = limited(failures=2)
    site.hangs_up = True
    assert all(isinstance(get(bench, site), Failed) for _ in range(4))

    site.hangs_up, site.drips = False, True
    assert all(isinstance(get(bench, site, timeout=0.1), Failed) for _ in range(4))


def test_a_probe_keeps_an_outcome_that_rules_out_another_attempt(
    limited: Limited, site: Site
) -> None:
    bench = limited(failures=1, longest=0.05)
    site.answer(503)
    get(bench, site)
    found = postponed(get(bench, site))
    wait_until(lambda: CLOCK.now() >= found.until, "time stands still")

    assert isinstance(get(bench, site, retry_codes=[]), Fatal)


def test_a_host_that_asks_for_a_pause_gets_it_from_all_tasks(limited: Limited, site: Site) -> None:
    bench = limited()
    site.answer(429, Retry_After="1000000")
    get(bench, site)

    found = postponed(get(bench, site))

    assert found.waiting_on == f"host:127.0.0.1:{site.port}"
    assert timedelta(seconds=50) < found.until - CLOCK.now() < timedelta(seconds=61)
    assert len(site.received) == 1


@pytest.mark.parametrize("text", ["soon", "-5", "", "0"])
def test_a_retry_after_that_means_nothing_holds_nobody_back(
    limited: Limited, site: Site, text: str
) -> None:
    bench = limited()
    site.answer(429, Retry_After=text)

    assert not any(isinstance(get(bench, site), Postponed) for _ in range(3))


def test_a_host_that_is_slow_is_not_called_more_often_at_once_than_allowed(
    limited: Limited, site: Site
) -> None:
    bench = limited(limits=LimitRules(2))
    site.drips = True
    slow = [bench.begin("http", target=site.target()) for _ in range(2)]
    wait_until(lambda: len(site.received) == 2, "the calls did not begin")

    found = [postponed(get(bench, site)) for _ in range(3)]

    assert {each.waiting_on for each in found} == {f"host:127.0.0.1:{site.port}"}
    assert len(site.received) == 2
    for each in slow:
        bench.cancel(each)
        assert isinstance(each.outcome(), Cancelled)
    site.drips = False
    assert isinstance(get(bench, site), Succeeded)


@pytest.mark.parametrize(("share", "is_down"), [(0.9, True), (0.2, False)])
def test_a_host_is_judged_only_if_the_call_had_most_of_its_time(
    limited: Limited, share: float, is_down: bool
) -> None:
    bench = limited(failures=1)
    with deaf() as host:
        target = Target(url=url(host), timeout=timedelta(seconds=1))
        found = bench.run("http", target=target, ends_at=CLOCK.monotonic() + share)
        assert isinstance(found, TimedOut)
        assert (found.error.type, found.error.phase) == ("http.timeout", CallPhase.CONNECT)
        assert "within 1 s" not in found.error.message

        again = bench.run("http", target=target, ends_at=CLOCK.monotonic() + 0.2)

    assert isinstance(again, Postponed) is is_down


def test_a_call_may_wait_for_a_place_for_a_quarter_of_its_timeout(site: Site) -> None:
    gate = OriginGate(GateRules(limits=LimitRules(64, rate=10)))
    with started(SAMPLES, origin_gate=gate) as bench:
        origin = origin_text(site.target().url)
        while isinstance(gate.enter(origin, CLOCK.monotonic(), CLOCK.monotonic() + 30), Permit):
            pass

        postponed(get(bench, site, timeout=0.1))


def test_a_short_wait_for_a_place_is_not_worth_two_commits(site: Site) -> None:
    gate = OriginGate(GateRules(limits=LimitRules(64, rate=10)))
    with started(SAMPLES, origin_gate=gate) as bench:
        get(bench, site)  # the first call of a client takes longer
        origin = origin_text(site.target().url)
        while isinstance(gate.enter(origin, CLOCK.monotonic(), CLOCK.monotonic() + 30), Permit):
            pass

        assert isinstance(get(bench, site), Succeeded)


def test_a_postponed_attempt_reads_nothing(limited: Limited, down: socket.socket) -> None:
    bench = limited(failures=1)
    call(bench, down)

    def load() -> NoReturn:
        raise AssertionError("the kv was read")

    target = Target(url=url(down), kv=("count",))
    postponed(bench.run("http", target=target, load_kv=load))


@pytest.mark.parametrize(
    ("url", "origin", "shown"),
    [
        ("https://Api.Example.com/x?y", "https://api.example.com", "api.example.com"),
        ("https://api.example.com:443", "https://api.example.com", "api.example.com"),
        ("HTTP://a.example:8080/", "http://a.example:8080", "a.example:8080"),
        ("http://[::1]:80/", "http://[::1]", "[::1]"),
        ("https://a.example:80/", "https://a.example:80", "a.example:80"),
    ],
)
def test_hosts_are_distinguished_by_scheme_name_and_port(url: str, origin: str, shown: str) -> None:
    assert (origin_text(url), host_and_port(url)) == (origin, shown)
