"""Redirects: each hop is judged, and what belongs to the first server does not continue."""

from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import ip_network

import pytest

from rota.domain.hosts import addresses
from rota.domain.hosts.policy import TargetPolicy
from rota.egress.client import HttpClient
from rota.egress.guard import Guard, OwnEndpoint
from rota.egress.redirects import RedirectError, following
from rota.egress.requests import Request, Response, SendFailed
from tests.egress.calls import failed, get, on_a_loop, sent, timed_out
from tests.egress.guards import loopback_guard
from tests.egress.hostile import OK, Peer, always, serving
from tests.support.connects import counted

SECRETS = {
    "Authorization": "Bearer a",
    "X-Plain": "may be a secret",
    "webhook-id": "msg_1",
    "webhook-signature": "v1,x",
    "Idempotency-Key": "r1",
    "Cookie": "a=b",
    "Accept-Encoding": "identity",
    "User-Agent": "rota",
    "X-Rota-Run": "r1",
}


def redirect(location: str, status: int = 302) -> bytes:
    return (f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n").encode(
        "latin-1"
    )


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_without_leave_a_redirect_is_not_followed(status: int) -> None:
    with serving(always(redirect("/next", status))) as server:
        assert sent(server.url()).status == status

        assert len(server.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_with_leave_it_is_and_the_path_is_that_of_the_last_hop(status: int) -> None:
    with serving(always(redirect("next?token=x#y", status), OK)) as server:
        response = sent(server.url("/a/b?c"), follow_redirects=1)

        assert (response.status, response.url_path) == (200, "/a/next")
        assert server.requests[1].startswith(b"GET /a/next?token=x HTTP/1.1")


@pytest.mark.parametrize("most", [1, 5])
def test_no_more_hops_are_made_than_allowed(most: int) -> None:
    with serving(always(redirect("/again"))) as server:
        error = failed(server.url(), follow_redirects=most)

        assert (error.kind, error.final, len(server.requests)) == ("http.redirect", True, most + 1)


def test_a_chain_that_leads_to_a_forbidden_address_at_the_fourth_hop_ends_there() -> None:
    hops = [redirect(f"/{number}") for number in range(3)]
    with serving(always(*hops, redirect("http://169.254.169.254/latest/meta-data"))) as server:
        with counted() as connects:
            error = failed(server.url(), follow_redirects=5)

        assert (error.kind, error.final) == ("http.forbidden", True)
        assert str(error).startswith("169.254.169.254: ")
        assert {address for address, *_ in connects.guarded} == {"127.0.0.1"}
        assert len(server.requests) == 4


def test_each_hop_is_judged_by_the_policy() -> None:
    with serving(always(OK)) as private, serving(always(redirect(""))) as first:
        first.answer = always(redirect(private.url().replace("127.0.0.1", "127.0.0.2")))
        error = failed(first.url(), Guard(TargetPolicy.of(["127.0.0.1"])), follow_redirects=1)

        assert (error.kind, private.connections) == ("http.forbidden", 0)


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "http://u:p@127.0.0.1/",
        "http://[::1",
        "http://127.0.0.1:0/",
        "http://127\u00b7",
        "http://a\\@b/",
    ],
)
def test_a_location_that_is_no_usable_url_is_not_followed(location: str) -> None:
    with serving(always(redirect(location))) as server:
        error = failed(server.url(), follow_redirects=5)

        assert error.kind in {"http.redirect", "http.forbidden"}
        assert (error.final, len(server.requests)) == (True, 1)


def test_to_another_server_goes_nothing_that_the_task_has_set() -> None:
    with serving(always(OK)) as other, serving(always(OK)) as first:
        first.answer = always(redirect(other.url("/there")))
        sent(first.url(), headers=SECRETS, follow_redirects=1)

        head = other.requests[0].decode().lower()
        names = [line.partition(":")[0] for line in head.split("\r\n")[1:] if line]
        assert names == ["host", "accept-encoding", "user-agent", "x-rota-run"]
        assert b"Bearer a" in first.requests[0]


def test_the_headers_are_sent_to_the_same_server_again() -> None:
    with serving(always(redirect("/there"), OK)) as server:
        sent(server.url(), headers=SECRETS, follow_redirects=1)

        assert b"Bearer a" in server.requests[1]
        assert server.connections == 1


@pytest.mark.parametrize(("status", "method"), [(301, b"GET"), (303, b"GET"), (307, b"POST")])
def test_a_body_is_sent_to_the_same_server_again_only_if_the_method_is_kept(
    status: int, method: bytes
) -> None:
    with serving(always(redirect("/there", status), OK)) as server:
        request = Request(
            "POST", server.url(), {"Content-Type": "text/plain"}, b"body", "t", follow_redirects=1
        )
        on_a_loop(lambda client: client.send(request))

        kept = method == b"POST"
        assert server.requests[1].startswith(method + b" /there ")
        assert (b"body" in server.requests[1], b"text/plain" in server.requests[1]) == (kept, kept)


@pytest.mark.parametrize("status", [307, 308])
def test_a_body_never_goes_to_another_server(status: int) -> None:
    here = Request("POST", "https://a.example/", {}, b"secret", follow_redirects=5)

    with pytest.raises(RedirectError, match=f"another server with {status}.*the body"):
        following(here, _moved(status, "https://b.example/"))

    by_get = following(here, _moved(303, "https://b.example/"))
    assert by_get is not None
    assert (by_get.method, by_get.body) == ("GET", None)


def test_https_never_leads_to_http() -> None:
    here = Request("GET", "https://a.example/", {}, None, follow_redirects=5)

    with pytest.raises(RedirectError, match="from https to http"):
        following(here, _moved(302, "http://a.example/"))
    assert following(here, _moved(302, "https://a.example:443/x")) is not None


@pytest.mark.parametrize("there", ["https://a.example:8443/", "https://A.EXAMPLE.example/"])
def test_another_port_or_host_is_another_server(there: str) -> None:
    here = Request("GET", "https://a.example/", SECRETS, None, follow_redirects=5)

    redirected = following(here, _moved(302, there))

    assert redirected is not None
    assert "Authorization" not in redirected.headers


@pytest.fixture
def public_127_0_0_2(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Of this machine, 127.0.0.2 is an address of the internet in this test, and 127.0.0.3 a private one."""
    monkeypatch.setattr(addresses, "_LOOPBACK", (ip_network("127.0.0.1/32"),))
    monkeypatch.setattr(addresses, "_PRIVATE", (ip_network("127.0.0.3/32"),))
    addresses.kind_of.cache_clear()
    yield
    addresses.kind_of.cache_clear()


@pytest.mark.usefixtures("public_127_0_0_2")
@pytest.mark.parametrize(
    ("hosts", "listed", "reached"),
    [
        (["127.0.0.2", "127.0.0.1"], "", 1),
        (["127.0.0.2", "127.0.0.3"], "", 1),
        (["127.0.0.3", "127.0.0.1"], "", 1),
        (["127.0.0.2", "127.0.0.3", "127.0.0.1"], "127.0.0.3", 2),
        (["127.0.0.1", "127.0.0.2", "127.0.0.1"], "", 2),
        (["127.0.0.2", "127.0.0.1"], "127.0.0.0/30", 2),
        (["127.0.0.2", "localhost"], "localhost", 2),
        (["127.0.0.1", "127.0.0.3", "127.0.0.2"], "", 3),
        (["127.0.0.1", "localhost"], "", 2),
    ],
)
def test_no_redirect_leads_nearer_unless_the_host_is_listed(
    hosts: list[str], listed: str, reached: int
) -> None:
    entries = ("public", "private", "loopback", *filter(None, [listed]))
    with ExitStack() as stack:
        servers = [stack.enter_context(serving(always(OK), at="0.0.0.0")) for _ in hosts]
        urls = [server.url(host=host) for server, host in zip(servers, hosts, strict=True)]
        for server, url in zip(servers, urls[1:], strict=False):
            server.answer = always(redirect(url))

        if reached == len(hosts):
            assert sent(urls[0], loopback_guard(*entries), follow_redirects=5).status == 200
        else:
            error = failed(urls[0], loopback_guard(*entries), follow_redirects=5)
            assert (error.kind, error.final) == ("http.forbidden", True)

        assert [server.connections for server in servers] == [
            int(index < reached) for index in range(len(hosts))
        ]


@pytest.mark.usefixtures("public_127_0_0_2")
def test_no_kept_connection_is_nearer_than_a_new_one_could_be() -> None:
    with serving(always(OK)) as near, serving(always(redirect(near.url())), at="0.0.0.0") as far:

        async def both(client: HttpClient) -> None:
            assert (await client.send(get(near.url()))).status == 200
            with pytest.raises(SendFailed, match="may not connect"):
                await client.send(get(far.url(host="127.0.0.2"), follow_redirects=1))

        on_a_loop(both)

        assert len(near.requests) == 1


def test_no_redirect_leads_to_rota_itself_although_a_target_may() -> None:
    with serving(always(OK)) as own, serving(always(redirect(own.url()))) as other:
        policy = TargetPolicy.of(["public", "private", "loopback", "127.0.0.1"])
        listener = OwnEndpoint("0.0.0.0", own.port, is_for_targets=True)

        assert sent(own.url(), Guard(policy, [listener])).status == 200
        error = failed(other.url(), Guard(policy, [listener]), follow_redirects=1)

        assert (error.kind, len(own.requests)) == ("http.forbidden", 1)


def test_one_deadline_is_for_all_hops() -> None:
    def answer(peer: Peer) -> None:
        while peer.request():
            peer.over.wait(0.1)
            peer.send(redirect("/again"))

    with serving(answer) as server:
        timed_out(server.url(), 0.25, follow_redirects=5)


def _moved(status: int, location: str) -> Response:
    return Response(status, {"location": location}, b"", truncated=False)


def test_a_request_that_becomes_a_get_has_no_signature_over_the_body_that_it_had() -> None:
    request = Request("POST", "https://a.example.com/x", SECRETS, b"{}")
    answer = Response(303, {"location": "/y"}, b"", truncated=False)

    redirected = following(request, answer)

    assert redirected is not None
    assert (redirected.method, redirected.body) == ("GET", None)
    assert set(SECRETS) - set(redirected.headers) == {"webhook-id", "webhook-signature"}
