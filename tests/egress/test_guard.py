"""The guard: what is judged is what is dialled, and nothing else can be seen from outside."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rota.domain.hosts.policy import TargetPolicy
from rota.domain.http_target.phases import CallPhase
from rota.egress import resolver
from rota.egress.guard import Guard, OwnEndpoint
from tests.egress.calls import failed, sent
from tests.egress.guards import loopback_guard
from tests.egress.hostile import OK, Server, always, serving
from tests.support.connects import Connects, counted

Zone = dict[str, list[list[str]]]


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Zone:
    """Names with the answers to one lookup after the other; the last one is repeated."""
    names: Zone = {}
    real = socket.getaddrinfo

    def look_up(host: str, port: int, *args: Any, **named: Any) -> list[Any]:
        if host not in names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        answers = names[host]
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        return [entry for each in found for entry in real(each, port, *args, **named)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return names


@pytest.fixture
def made() -> Iterator[Connects]:
    """What is connected to in this test."""
    with counted() as made:
        yield made


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(always(OK)) as server:
        yield server


def test_a_name_is_resolved_once_and_its_address_connected_to(
    zone: Zone, server: Server, made: Connects
) -> None:
    zone["app.example"] = [["127.0.0.1"], ["169.254.169.254"]]

    assert sent(server.url(host="app.example")).body == b"ok"

    assert made.guarded == [("127.0.0.1", server.port)]
    assert b"Host: app.example:%d\r\n" % server.port in server.requests[0]


def test_a_name_that_resolves_to_something_else_the_second_time_gains_nothing(
    zone: Zone, server: Server, made: Connects
) -> None:
    zone["rebinding.example"] = [["127.0.0.1"], ["169.254.169.254"]]
    assert sent(server.url(host="rebinding.example")).status == 200
    server.requests.clear()
    made.guarded.clear()

    error = failed(server.url(host="rebinding.example"))

    assert (error.kind, error.final) == ("http.forbidden", True)
    assert made.guarded == made.unguarded == server.requests == []


@pytest.mark.parametrize(
    "answer",
    [
        ["169.254.169.254"],
        ["127.0.0.1", "169.254.169.254"],
        ["fe80::1"],
        ["::ffff:169.254.169.254"],
        ["64:ff9b::a9fe:a9fe"],
        ["127.0.0.1"] * 3 + ["224.0.0.1"],
        [*(f"127.0.{number // 250}.{number % 250 + 1}" for number in range(999)), "0.0.0.0"],
    ],
    ids=["metadata", "mixed", "link-local", "mapped", "nat64", "multicast", "thousand"],
)
def test_one_bad_answer_refuses_them_all(
    zone: Zone, server: Server, made: Connects, answer: list[str]
) -> None:
    zone["app.example"] = [answer]

    assert failed(server.url(host="app.example")).kind == "http.forbidden"

    assert made.guarded == server.requests == []


def test_an_address_that_does_not_answer_is_passed_over(
    zone: Zone, server: Server, made: Connects
) -> None:
    zone["app.example"] = [["127.0.0.2", "127.0.0.1"]]

    assert sent(server.url(host="app.example")).body == b"ok"

    assert [address for address, _ in made.guarded] == ["127.0.0.2", "127.0.0.1"]


def test_refusals_are_the_same_for_every_reason_and_port(zone: Zone, made: Connects) -> None:
    zone |= {"a.example": [["127.0.0.1"]], "b.example": [["10.1.2.3"]], "c.example": [["fe80::1"]]}
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ports = (listening.getsockname()[1], 1, 25)
        said = {
            str(failed(f"http://{host}:{port}/", loopback_guard("public"))).partition(": ")[2]
            for host in (*zone, "127.0.0.1", "10.1.2.3", "169.254.169.254")
            for port in ports
        }

    assert said == {"Rota may not connect to it (ROTA_HTTP_TARGETS)"}
    assert made.guarded == []


def test_an_unknown_name_fails_in_the_phase_dns(zone: Zone) -> None:
    zone.clear()

    error = failed("http://nowhere.example/")

    assert (error.kind, error.phase, error.final) == ("http.connect", CallPhase.DNS, False)
    assert str(error) == "nowhere.example: name or service not known"


def test_a_closed_port_fails_in_the_phase_connect() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    error = failed(f"http://127.0.0.1:{port}/")

    assert (error.kind, error.phase) == ("http.connect", CallPhase.CONNECT)
    assert str(error) == "127.0.0.1: connection refused"


def test_a_slow_resolver_is_asked_once_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    answered = threading.Event()

    def hang(host: str, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        answered.wait(20)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(resolver, "DEADLINE", 0.05)
    guard = loopback_guard()

    for _ in range(3):
        error = failed("http://slow.example/", guard)
        assert (error.kind, error.phase) == ("http.connect", CallPhase.DNS)
        assert str(error) == "slow.example: its name was not resolved within 0.05 s"
    answered.set()

    assert asked == ["slow.example"]


@pytest.mark.parametrize("own", ["127.0.0.1", "localhost", "0.0.0.0", "::", "db.example"])
@pytest.mark.parametrize("host", ["127.0.0.1", "app.example"])
def test_the_services_own_endpoints_are_refused_by_whatever_name(
    zone: Zone, server: Server, made: Connects, own: str, host: str
) -> None:
    zone |= {name: [["127.0.0.1"]] for name in ("localhost", "db.example", "app.example")}
    policy = TargetPolicy.of(("public", "private", "loopback"))

    refused = failed(server.url(host=host), Guard(policy, [OwnEndpoint(own, server.port)]))
    other = sent(server.url(host=host), Guard(policy, [OwnEndpoint(own, 1)]))

    assert (refused.kind, other.body) == ("http.forbidden", b"ok")
    assert len(made.guarded) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "app.example"])
def test_an_own_endpoint_whose_name_is_not_resolved_may_be_anywhere(
    zone: Zone, server: Server, made: Connects, host: str
) -> None:
    zone["app.example"] = [["127.0.0.1"]]
    policy = TargetPolicy.of(("public", "private", "loopback"))

    refused = failed(server.url(host=host), Guard(policy, [OwnEndpoint("db.example", server.port)]))

    assert (refused.kind, made.guarded) == ("http.forbidden", [])


def test_the_environment_sets_no_proxy(
    server: Server, monkeypatch: pytest.MonkeyPatch, made: Connects, tmp_path: Any
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login u password p\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    sent(server.url())

    assert made.guarded == [("127.0.0.1", server.port)]
    assert b"uthorization" not in server.requests[0]


def test_what_does_not_go_through_the_guard_is_noticed(connects: Connects) -> None:
    """The counter that all tests rely on sees a connection that other code of the service opens."""
    code = compile(
        "def reach(made, address):\n    made.connect(address)", resolver.__file__, "exec"
    )
    found: dict[str, Callable[..., None]] = {}
    exec(code, found)  # a function that is in a file of the service
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as made:
        found["reach"](made, listening.getsockname())
        assert connects.unguarded == [listening.getsockname()]

    connects.unguarded.clear()


def test_a_lookup_that_is_given_up_does_not_end_that_of_another(zone: Zone, server: Server) -> None:
    zone["app.example"] = [["127.0.0.1"]]
    guard = loopback_guard()

    async def both() -> None:
        first = asyncio.ensure_future(guard._resolver.resolve("app.example", 1))
        second = asyncio.ensure_future(guard._resolver.resolve("app.example", 1))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second)[0][1] == ("127.0.0.1", 1)

    asyncio.run(both())
