"""Tasks, access tokens and notifiers by a proxy: what its credentials and its failures mean for a run."""

from collections.abc import Iterator

import pytest

from rota.domain.http_target.target import Target
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Failed, Fatal, Postponed, Succeeded
from rota.domain.secrets.opened import OpenedSecret
from rota.egress.origins.circuit_breaker import CircuitRules
from rota.egress.origins.gate import GateRules, OriginGate
from tests.egress.hostile import Peer, serving
from tests.egress.proxies import Proxy, proxying
from tests.handlers.bench import Bench, started
from tests.handlers.conftest import SAMPLES
from tests.handlers.http.issuer import issuing

CREDENTIALS = "rota:hunter2-and-more@"
RULES = GateRules(CircuitRules(1, 60.0, 60.0))


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with proxying() as proxy:
        yield proxy


@pytest.fixture
def bench(proxy: Proxy) -> Iterator[Bench]:
    guard = proxy.guard(credentials=CREDENTIALS)
    with started(SAMPLES, guard=guard, origin_gate=OriginGate(RULES)) as bench:
        yield bench


def echo(peer: Peer) -> None:
    while head := peer.request():
        peer.send(b"HTTP/1.1 400 Bad\r\nContent-Length: %d\r\n\r\n%b" % (len(head), head))


def failed(bench: Bench, target: Target) -> RunError:
    outcome = bench.run("http", target=target)
    assert isinstance(outcome, Failed), outcome
    return outcome.error


def test_a_reply_with_the_credentials_of_the_proxy_is_redacted(bench: Bench, proxy: Proxy) -> None:
    with serving(echo) as server:
        outcome = bench.run("http", target=Target(url=server.url(host="no-such.example")))

    assert isinstance(outcome, Fatal)
    assert outcome.error.response is not None
    assert "\r\nProxy-Authorization: Basic [redacted]\r\n" in (outcome.error.response.body or "")
    assert len(proxy.asked) == 1


def test_access_tokens_and_notifiers_go_by_the_proxy(bench: Bench, proxy: Proxy) -> None:
    proxy.refused["no-tokens.example"] = b"HTTP/1.1 502 x\r\nContent-Length: 0\r\n\r\n"
    auth = {"token_url": "https://no-tokens.example/token"}
    with issuing() as issuer, serving(echo) as server:
        origins = ("https://no-tokens.example", f"http://127.0.0.1:{issuer.port}")
        secret = OpenedSecret("client", "s3cret", origins=origins)
        url = server.url(host="no-such.example")
        without_token = bench.run("http", target=issuer.target(auth), secrets=(secret,))
        bench.run("notify.webhook", f'{{"url": "{url}"}}')

    assert isinstance(without_token, Failed)
    assert "no access token from no-tokens.example: the proxy " in without_token.error.message
    assert proxy.asked == ["CONNECT no-tokens.example:443 HTTP/1.1", f"POST {url} HTTP/1.1"]


@pytest.mark.parametrize(("status", "is_down"), [(407, False), (403, False), (502, True)])
def test_only_a_host_that_the_proxy_cannot_reach_is_down(
    bench: Bench, proxy: Proxy, status: int, is_down: bool
) -> None:
    proxy.refused["no-such.example"] = b"HTTP/1.1 %d x\r\nContent-Length: 0\r\n\r\n" % status
    target = Target(url="https://no-such.example/")
    assert failed(bench, target).phase == "proxy"

    assert isinstance(bench.run("http", target=target), Postponed) is is_down


def test_a_proxy_that_is_down_uses_up_no_attempts() -> None:
    with proxying() as gone:
        guard = gone.guard()
    with started(SAMPLES, guard=guard, origin_gate=OriginGate(RULES)) as bench:
        target = Target(url="https://no-such.example/")
        assert failed(bench, target).type == "http.proxy"

        assert isinstance(bench.run("http", target=target), Postponed)


def test_what_needs_no_proxy_succeeds_while_it_is_down(proxy: Proxy) -> None:
    guard = proxy.guard("loopback")
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    with (
        serving(lambda peer: peer.send(ok) if peer.request() else None) as server,
        started(SAMPLES, guard=guard) as bench,
    ):
        assert isinstance(bench.run("http", target=Target(url=server.url())), Succeeded)

    assert proxy.server.connections == 0
