"""Which addresses may be connected to, in every spelling."""

import asyncio
import socket
from ipaddress import ip_address
from typing import Any

import pytest
from pydantic import ValidationError

from rota.clock import SystemClock
from rota.domain.constraints.definitions import Reachable
from rota.domain.hosts.addresses import AddressKind, kind_of
from rota.domain.hosts.policy import TargetPolicy
from rota.domain.hosts.spelling import fault_of_host
from rota.domain.http_target.target import Target
from rota.domain.primitives.bounds import STORED
from rota.egress.client import HttpClient
from rota.egress.requests import Request, SendFailed
from rota.egress.urls import UrlError, read_url
from rota.errors import Invalid
from tests.egress.guards import loopback_guard
from tests.egress.notations import FORBIDDEN, FORBIDDEN_V6, HOSTS, embeddings
from tests.support.connects import counted


@pytest.mark.parametrize("text", [*FORBIDDEN, *FORBIDDEN_V6])
def test_what_is_never_allowed_stays_refused_if_all_networks_are_allowed(text: str) -> None:
    everything = TargetPolicy.of(("public", "private", "loopback", "0.0.0.0/0", "::/0", "a.b"))

    assert kind_of(ip_address(text)) is AddressKind.FORBIDDEN
    assert not everything.allows("a.b", ip_address(text))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("8.8.8.8", "public"),
        ("2606:4700:4700::1111", "public"),
        ("100.63.255.255", "public"),
        ("100.64.0.0", "private"),
        ("100.127.255.255", "private"),
        ("100.128.0.0", "public"),
        ("172.15.255.255", "public"),
        ("172.16.0.0", "private"),
        ("172.32.0.0", "public"),
        ("10.0.0.1", "private"),
        ("192.168.255.255", "private"),
        ("fd12:3456::1", "private"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.255", "loopback"),
        ("::1", "loopback"),
        ("223.255.255.255", "public"),
        ("169.253.255.255", "public"),
        ("169.255.0.0", "public"),
    ],
)
def test_the_kinds_of_addresses_have_exact_borders(text: str, kind: str) -> None:
    assert kind_of(ip_address(text)).value == kind


@pytest.mark.parametrize("text", ["8.8.8.8", "127.0.0.1", "10.0.0.1", "169.254.169.254"])
def test_an_address_that_embeds_another_is_forbidden(text: str) -> None:
    assert {kind_of(ip_address(each)) for each in embeddings(text)} == {AddressKind.FORBIDDEN}


def test_there_are_enough_spellings() -> None:
    assert len(set(HOSTS)) > 150


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_in_another_spelling_is_refused_at_the_registration(host: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Target(url=f"http://{host}:8080/x")

    (fault,) = refused.value.errors()
    assert (fault["type"], fault["loc"]) == ("url", ("url",))


def test_a_host_in_another_spelling_is_refused_when_it_is_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_up: list[str] = []

    def look_up(host: str, port: int, **_: Any) -> list[Any]:
        looked_up.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    client = HttpClient(1_000, SystemClock(), loopback_guard())

    async def tried(host: str) -> str:
        try:
            await client.send(Request("GET", f"http://{host}:9/", {}, None))
        except SendFailed as error:
            return error.kind
        return "sent"

    async def all_of_them() -> set[str]:
        return {await tried(host) for host in HOSTS}

    with counted() as connects:
        kinds = asyncio.run(all_of_them())

    assert kinds == {"http.forbidden", "http.request"}
    assert connects.guarded == connects.unguarded == []
    assert looked_up == []


@pytest.mark.parametrize(
    "url",
    [
        "http://app.example.com/",
        "http://app_1:3000/",
        "http://app.svc.cluster.local./x",
        "https://8.8.8.8/",
        "http://[2606:4700::1111]:8080/",
        "http://1password.example/",
        "http://0x.example/",
        "https://b\xfccher.example/",
        "https://xn--bcher-kva.example/",
        "http://LOCALHOST:80/",
    ],
)
def test_names_and_usual_addresses_are_accepted_and_both_parsers_agree(url: str) -> None:
    assert fault_of_host(url) is None
    assert read_url(url).host


@pytest.mark.parametrize(
    "url",
    [
        "http://a@b/",
        "http://a:b@c/",
        "ftp://a/",
        "http:///x",
        "http://a:0/",
        "http://a:65536/",
        "http://127\u30020\u30020\u30021/",
        "http://[::1/",
        "//a/",
        "a",
    ],
)
def test_a_url_on_which_parsers_could_disagree_is_not_dialled(url: str) -> None:
    with pytest.raises(UrlError):
        read_url(url)


def test_a_name_with_a_dot_at_its_end_is_sent_without_it() -> None:
    url = read_url("https://App.Example.com.:8443/x?y=1")

    assert (url.host, url.port, url.authority) == ("app.example.com.", 8443, "app.example.com:8443")
    assert (url.target, url.path) == (b"/x?y=1", "/x")


def test_a_constraint_takes_no_unusual_address_either() -> None:
    for given in (
        {"host": "127.1", "port": 1},
        {"host": "fe80::1", "port": 1},
        {"url": "http://0/"},
    ):
        with pytest.raises(ValidationError):
            Reachable.model_validate({"type": "reachable", **given})


def test_what_was_stored_before_this_rule_can_still_be_read() -> None:
    target = Target.model_validate({"url": "http://127.1/"}, context=STORED)
    asked = Reachable.model_validate({"type": "reachable", "url": "http://0/"}, context=STORED)

    assert (target.url, asked.url) == ("http://127.1/", "http://0/")


def test_a_policy_has_kinds_names_and_networks() -> None:
    policy = TargetPolicy.of(("public", "10.20.0.0/16", "App.internal", "*.shop.internal", "::1"))

    def allowed(host: str, address: str) -> bool:
        return policy.allows(host, ip_address(address))

    assert allowed("x", "8.8.8.8")
    assert allowed("x", "10.20.3.4")
    assert not allowed("x", "10.21.0.0")
    assert allowed("APP.internal.", "10.99.0.1")
    assert allowed("app.internal", "127.0.0.1")
    assert not allowed("x.app.internal", "10.99.0.1")
    assert allowed("a.b.shop.internal", "10.99.0.1")
    assert not allowed("shop.internal", "10.99.0.1")
    assert not allowed("app.internal", "169.254.169.254")
    assert allowed("x", "::1")
    assert not allowed("x", "127.0.0.1")


@pytest.mark.parametrize(
    "entry", ["169.254.0.0/16", "fe80::/10", "10.0.0.1/8", "a b", "127.1", "publik/", "300.1.1.1"]
)
def test_a_policy_that_could_not_be_meant_is_refused(entry: str) -> None:
    with pytest.raises(Invalid, match="ROTA_HTTP_TARGETS"):
        TargetPolicy.of(("public", entry))
