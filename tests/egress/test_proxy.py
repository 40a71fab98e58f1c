"""Requests by a proxy: what goes to it, what is called without it, and what is refused before it is asked."""

import asyncio
import socket
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from rota.configuration import mail_client
from rota.domain.http_target.phases import CallPhase
from rota.egress.client import HttpClient
from rota.errors import Invalid
from rota.main import create_app
from rota.settings import Settings
from tests.egress.calls import failed, get, on_a_loop, sent
from tests.egress.certificates import certificate, server_context
from tests.egress.guards import loopback_guard
from tests.egress.hostile import OK, Server, always, serving
from tests.egress.proxies import Proxy, proxy_of, proxying

NAME = "app.example"
PASSWORD = "pass word:1"
CREDENTIALS = "rota:pass%20word%3A1@"
BASIC = b64encode(f"rota:{PASSWORD}".encode())
FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\nsecret"

Zone = dict[str, list[str]]


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> Zone:
    """The names that are resolved here; all others are not, only by the proxy."""
    names: Zone = {}
    real = socket.getaddrinfo

    def look_up(host: str, port: int, *args: Any, **named: Any) -> list[Any]:
        if host not in names and not host.startswith("127."):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            entry for each in names.get(host, [host]) for entry in real(each, port, *args, **named)
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return names


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with proxying() as proxy:
        yield proxy


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(always(OK)) as server:
        yield server


@pytest.fixture
def secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server of https, which is trusted by its name."""
    path = certificate(tmp_path, NAME)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with serving(always(OK), server_context(path)) as server:
        yield server


def test_https_goes_through_a_tunnel_that_is_used_again_and_the_proxy_sees_none_of_it(
    proxy: Proxy, secure: Server
) -> None:
    url = secure.url("/private?q=1", "https", NAME)
    first, second = (get(url, headers={"Authorization": "Bearer for-the-host"}) for _ in range(2))

    async def work(client: HttpClient) -> list[str]:
        assert (await client.send(first)).body == b"ok"
        phases = list(first.phases.timings())
        assert (await client.send(second)).body == b"ok"
        return phases

    phases = on_a_loop(work, proxy.guard(credentials=CREDENTIALS))

    assert phases == ["dns", "connect", "proxy", "tls", "write", "wait", "read"]
    assert proxy.server.requests == [
        b"CONNECT app.example:%d HTTP/1.1\r\nHost: app.example:%d\r\n"
        b"Proxy-Authorization: Basic %b\r\n\r\n" % (secure.port, secure.port, BASIC)
    ]
    assert len(secure.requests) == 2
    assert all(b"GET /private?q=1 HTTP/1.1\r\n" in head for head in secure.requests)
    assert not any(b"Proxy" in head for head in secure.requests)


def test_http_goes_to_the_proxy_with_its_whole_url(proxy: Proxy, server: Server) -> None:
    url = server.url("/a?b=c", host=NAME)

    assert sent(url, proxy.guard(credentials=CREDENTIALS)).body == b"ok"

    assert proxy.asked == [f"GET {url} HTTP/1.1"]
    assert b"\r\nHost: app.example:%d\r\n" % server.port in proxy.server.requests[0]
    assert b"\r\nProxy-Authorization: Basic %b\r\n" % BASIC in proxy.server.requests[0]


def test_the_proxy_of_the_environment_is_never_used(
    monkeypatch: pytest.MonkeyPatch, proxy: Proxy, server: Server, zone: Zone
) -> None:
    zone[NAME] = ["127.0.0.1"]
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url())
        monkeypatch.setenv(name.lower(), proxy.url())

    assert sent(server.url(host=NAME)).body == b"ok"

    assert proxy.server.connections == 0


@pytest.mark.parametrize(
    ("no_proxy", "addresses"),
    [
        ("app.example", ["127.0.0.1"]),
        ("*.example", ["127.0.0.1"]),
        ("127.0.0.0/8", ["127.0.0.1"]),
        ("", ["127.0.0.1"]),  # the loopback of the proxy is another machine
    ],
)
def test_what_needs_no_proxy_is_connected_to_directly(
    proxy: Proxy, server: Server, zone: Zone, no_proxy: str, addresses: list[str]
) -> None:
    zone[NAME] = addresses
    guard = proxy.guard("loopback", no_proxy=no_proxy)

    assert sent(server.url(host=NAME), guard).body == b"ok"

    assert (proxy.server.connections, server.connections) == (0, 1)


@pytest.mark.parametrize(
    ("host", "addresses", "allowed"),
    [
        ("169.254.169.254", [], ("public", "private")),
        ("127.0.0.1", [], ("public", "private")),
        ("10.1.2.3", [], ("public",)),
        ("a.example", ["169.254.169.254"], ("public",)),
        ("a.example", ["8.8.8.8", "10.1.2.3"], ("public",)),
        ("a.example", [], ("private", "b.example")),  # not resolved: by its name only
    ],
)
def test_what_may_not_be_connected_to_is_not_asked_of_the_proxy(
    proxy: Proxy, zone: Zone, host: str, addresses: list[str], allowed: tuple[str, ...]
) -> None:
    if addresses:
        zone[host] = addresses

    error = failed(f"http://{host}/", proxy.guard(*allowed))

    assert (error.kind, error.final, proxy.server.connections) == ("http.forbidden", True, 0)
    assert str(error).endswith(": Rota may not connect to it (ROTA_HTTP_TARGETS)")


def test_a_name_that_is_not_resolved_here_is_left_to_the_proxy_but_never_the_database(
    proxy: Proxy, server: Server
) -> None:
    assert sent(server.url(host="b.example"), proxy.guard("b.example")).body == b"ok"
    for name in ("db.example", "DB.example", "db.example."):
        assert failed(f"http://{name}:5432/", proxy.guard()).kind == "http.forbidden"
    assert len(proxy.asked) == 1


def test_a_lookup_that_hangs_holds_a_request_up_for_a_second(
    monkeypatch: pytest.MonkeyPatch, proxy: Proxy, server: Server
) -> None:
    guard = proxy.guard()

    async def hangs(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(guard._resolver, "resolve", hangs)
    monkeypatch.setattr("rota.egress.guard._BEFORE_A_PROXY", 0.05)

    assert sent(server.url(host=NAME), guard).body == b"ok"


def test_no_redirect_of_a_host_behind_the_proxy_leads_nearer(proxy: Proxy, zone: Zone) -> None:
    zone["near.example"] = ["10.1.2.3"]
    to = b"HTTP/1.1 302 Found\r\nLocation: http://near.example/\r\nContent-Length: 0\r\n\r\n"
    with serving(always(to)) as server:
        error = failed(server.url(host=NAME), proxy.guard(), follow_redirects=1)

    assert (error.kind, len(proxy.asked)) == ("http.forbidden", 1)


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (407, "http.proxy", "wants credentials in ROTA_HTTP_PROXY (407)"),
        (403, "http.proxy", "refuses to connect to it (403)"),
        (502, "http.connect", "cannot reach it (502)"),
        (504, "http.connect", "cannot reach it (504)"),
        (b"SSH-2.0-x\r\n\r\n", "http.proxy", "is not HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\n\r\nnot TLS yet", "http.proxy", "sent more than its answer"),
    ],
)
def test_the_answer_of_the_proxy_to_a_tunnel_is_distinguished_from_that_of_the_host(
    proxy: Proxy, answer: int | bytes, kind: str, text: str
) -> None:
    if isinstance(answer, int):
        answer = b"HTTP/1.1 %d x\r\nX: secret\r\nContent-Length: 6\r\n\r\nsecret" % answer
    proxy.refused[NAME] = answer

    error = failed(f"https://{NAME}/", proxy.guard())

    assert (error.kind, error.phase, error.final) == (kind, CallPhase.PROXY, False)
    assert str(error).startswith(f"{NAME}: ")
    assert f"the proxy 127.0.0.1:{proxy.server.port}" in str(error)
    assert text in str(error)
    assert "secret" not in str(error)


def test_wrong_credentials_are_named_without_them_for_http_too(proxy: Proxy) -> None:
    proxy.refused[NAME] = b"HTTP/1.1 407 x\r\nContent-Length: 0\r\n\r\n"

    error = failed(f"http://{NAME}/", proxy.guard(credentials=CREDENTIALS))

    assert (error.kind, error.phase) == ("http.proxy", CallPhase.PROXY)
    assert str(error).endswith("refuses the credentials of ROTA_HTTP_PROXY (407)")


def test_a_proxy_that_is_silent_runs_into_the_timeout_in_its_phase(proxy: Proxy) -> None:
    proxy.refused[NAME] = b""
    request = get(f"https://{NAME}/")

    async def work(client: HttpClient) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.send(request)

    on_a_loop(work, proxy.guard())

    assert request.phases.current is CallPhase.PROXY


def test_a_proxy_that_is_down_or_not_known_is_named(proxy: Proxy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]
    for at, phase in ((f"127.0.0.1:{port}", CallPhase.CONNECT), ("no.example:1", CallPhase.DNS)):
        guard = proxy.guard()
        guard.proxy = proxy_of(f"http://rota:hidden-password@{at}")

        error = failed(f"https://{NAME}/", guard)

        assert (error.kind, error.phase) == ("http.proxy", phase)
        assert str(error).startswith(f"{NAME}: the proxy {at} is not reached: ")


def test_its_name_does_not_lead_to_a_forbidden_address(proxy: Proxy, zone: Zone) -> None:
    zone["proxy.example"] = ["169.254.169.254"]
    guard = proxy.guard()
    guard.proxy = proxy_of("http://proxy.example:3128")

    assert "that Rota never connects to" in str(failed(f"https://{NAME}/", guard))


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("https://u:hidden@proxy:3128", "its scheme is not http"),
        ("socks5://u:hidden@proxy:3128", "its scheme is not http"),
        ("u:hidden@proxy:3128", "its scheme is not http"),
        ("http://u:hidden@proxy", "it has no port"),
        ("http://u:hidden@proxy:0", "it has no port"),
        ("http://u:hidden@proxy:99999", "it is not a URL"),
        ("http://u:hidden@proxy:3128/path", "it has a path"),
        ("http://u:hidden@127.1:3128", "four decimal numbers"),
        ("http://u:hidden@169.254.169.254:3128", "Rota never connects to"),
        ("http://u%3A:hidden@proxy:3128", "has a colon"),
        ("http://u:hidden%0Ax@proxy:3128", "control characters"),
    ],
)
def test_a_proxy_that_cannot_be_meant_prevents_the_start_without_its_password(
    url: str, fault: str
) -> None:
    with pytest.raises(Invalid, match=fault) as refused:
        create_app(Settings(http_proxy=SecretStr(url)))

    assert "hidden" not in str(refused.value)
    assert "ROTA_HTTP_PROXY: " in str(refused.value)


def test_settings_that_do_not_fit_are_named() -> None:
    with pytest.raises(Invalid, match=r"ROTA_HTTP_NO_PROXY is set, but ROTA_HTTP_PROXY is not"):
        create_app(Settings(http_no_proxy=("private",)))
    with pytest.raises(Invalid, match=r"ROTA_HTTP_NO_PROXY: '10.0.0.0/99' is no network"):
        proxy_of("http://proxy:3128", "10.0.0.0/99")


def test_neither_the_settings_nor_the_proxy_show_the_password() -> None:
    settings = Settings(http_proxy=SecretStr(f"http://{CREDENTIALS}proxy:3128"))

    shown = (
        f"{settings!r} {settings.model_dump()} {proxy_of(settings.http_proxy.get_secret_value())!r}"
    )

    assert not [text for text in ("pass%20word", PASSWORD, BASIC.decode()) if text in shown]


def test_mail_does_not_go_by_the_proxy() -> None:
    made = mail_client(
        Settings(http_proxy=SecretStr("http://proxy:3128"), smtp_host="relay.example")
    )

    assert made is not None
    assert made._guard.proxy is None
    made.close()
    assert loopback_guard().proxy is None
