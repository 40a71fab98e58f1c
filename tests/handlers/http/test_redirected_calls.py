"""Redirects to another server: its answer says nothing about the host of the target."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from rota.domain.runs.outcomes import Failed, Fatal, Postponed, Succeeded
from rota.domain.secrets.opened import OpenedSecret
from rota.egress.origins.circuit_breaker import CircuitRules
from rota.egress.origins.gate import GateRules, OriginGate
from tests.handlers.bench import CLOCK, Bench, started, wait_until
from tests.handlers.conftest import SAMPLES
from tests.handlers.http.issuer import Answer, Issuer, issuing
from tests.handlers.target import Site, get, serving, unserved

Limited = Callable[[int], Bench]


@pytest.fixture
def limited() -> Iterator[Limited]:
    """Return an executor that calls a host no more after so many failures."""
    with ExitStack() as stack:

        def begin(failures: int) -> Bench:
            gate = OriginGate(GateRules(CircuitRules(failures, 60.0, 60.0)))
            return stack.enter_context(started(SAMPLES, origin_gate=gate))

        yield begin


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as issuer:
        yield issuer


@contextmanager
def silent_listener() -> Iterator[int]:
    """Listen at a port whose connections are not accepted any more: its queue is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        address = listener.getsockname()
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        yield address[1]


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_gateway_that_another_server_redirects_to_closes_nothing_for_that_one(
    limited: Limited, site: Site, status: int
) -> None:
    bench = limited(2)
    with serving() as other:
        other.answer(status, Retry_After="60")
        site.answer(302, Location=f"{other.origin}/x")

        found = [get(bench, site, follow_redirects=1) for _ in range(4)]

        assert not any(isinstance(each, Postponed) for each in found)
        assert len(site.received) == len(other.received) == 4
    assert isinstance(get(bench, site, success_codes=[302]), Succeeded)


def test_a_server_that_is_redirected_to_and_not_reached_closes_nothing_for_the_first(
    limited: Limited, site: Site
) -> None:
    bench = limited(2)
    with unserved() as down:
        site.answer(302, Location=f"http://127.0.0.1:{down.getsockname()[1]}/")

        found = [get(bench, site, follow_redirects=1) for _ in range(4)]

    assert all(isinstance(each, Failed) and each.error.type == "http.connect" for each in found)


@pytest.mark.parametrize("location", ["http://169.254.169.254/", "ftp://a.example/", "/again"])
def test_a_probe_whose_redirect_is_not_followed_has_found_its_host_up(
    site: Site, location: str
) -> None:
    gate = OriginGate(GateRules(CircuitRules(1, 0.05, 0.05)))
    with started(SAMPLES, origin_gate=gate) as bench:
        site.answer(503)
        get(bench, site)
        found = get(bench, site)
        assert isinstance(found, Postponed)
        wait_until(lambda: CLOCK.now() >= found.until, "time stands still")
        site.answer(302, Location=location)

        assert gate.open_circuits() == 1
        assert isinstance(get(bench, site, follow_redirects=1), Fatal)
        assert gate.open_circuits() == 0


def test_a_late_answer_of_a_server_that_is_redirected_to_closes_nothing_for_the_first(
    limited: Limited, site: Site
) -> None:
    bench = limited(2)
    with silent_listener() as at:
        site.answer(302, Location=f"http://127.0.0.1:{at}/")

        found = [get(bench, site, follow_redirects=1, timeout=0.1) for _ in range(4)]

    assert all(isinstance(each, Failed) and each.error.type == "http.timeout" for each in found)


def test_a_refusal_by_another_server_costs_no_access_token(
    limited: Limited, issuer: Issuer, site: Site
) -> None:
    bench = limited(1)
    site.answer(401)
    issuer.refusal = Answer(302, b"", {"Location": f"{site.origin}/"})
    issuer.says(200, {"access_token": "unknown", "token_type": "bearer"})
    secret = OpenedSecret("client", "s3cret", origins=(f"http://127.0.0.1:{issuer.port}",))

    bench.run("http", target=issuer.target(follow_redirects=1), secrets=(secret,))

    assert (len(issuer.asked), len(site.received)) == (1, 1)


def test_a_redirect_that_leads_back_counts_for_its_host(limited: Limited, site: Site) -> None:
    bench = limited(2)
    with serving() as other:
        other.answer(302, Location=f"{site.origin}/down")
        site.answer(302, Location=other.origin)

        def turn(received: Any) -> None:
            if received.path == "/down":
                site.answer(503)
            else:
                site.answer(302, Location=f"{other.origin}/")

        site.meanwhile = turn
        for _ in range(2):
            assert isinstance(get(bench, site, follow_redirects=2), Failed)
        assert isinstance(get(bench, site, follow_redirects=2), Postponed)
