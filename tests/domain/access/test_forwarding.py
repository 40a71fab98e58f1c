"""The client of a request that came through proxies: only trusted ones are believed."""

import pytest

from rota.domain.access.forwarding import Origin, origin_of, read_address, read_network

PROXY, CLIENT = "10.0.0.1", "203.0.113.9"
TRUSTED = [read_network(each) for each in ("10.0.0.0/8", "2001:db8::/32", "127.0.0.1")]


def origin(peer: str = PROXY, **headers: list[str]) -> Origin:
    return origin_of(peer, TRUSTED, **headers)


def address(*lines: str, peer: str = PROXY) -> str:
    return origin(peer, forwarded_for=list(lines)).address


def test_who_is_no_trusted_proxy_is_the_client_whatever_it_says() -> None:
    said = origin(
        CLIENT, forwarded_for=["8.8.8.8"], forwarded=["for=8.8.8.8"], forwarded_proto=["https"]
    )

    assert said == Origin(CLIENT)


def test_without_trusted_proxies_none_is_believed() -> None:
    assert origin_of(PROXY, [], forwarded_for=[CLIENT]) == Origin(PROXY)


def test_the_rightmost_hop_that_is_no_trusted_proxy_is_the_client() -> None:
    assert address(CLIENT) == CLIENT
    assert address(f"8.8.8.8, {CLIENT}") == CLIENT
    assert address(f"8.8.8.8, {CLIENT}, 10.9.9.9") == CLIENT
    assert address("8.8.8.8", f"{CLIENT}, 10.9.9.9") == CLIENT  # two lines are one list
    assert address("10.9.9.9") == "10.9.9.9"  # a client among the proxies


def test_what_an_untrusted_hop_sends_is_ignored() -> None:
    assert address(f"127.0.0.1, {CLIENT}") == CLIENT


@pytest.mark.parametrize("unread", ["unknown", "_hidden", "app.example.com", "1.2.3", "", "-"])
def test_behind_a_hop_that_cannot_be_read_nothing_is_believed(unread: str) -> None:
    assert address(f"{CLIENT}, {unread or '?'}, 10.9.9.9") == "10.9.9.9"
    assert address() == PROXY


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("203.0.113.9:4711", CLIENT),
        ("[2001:db9::7]:4711", "2001:db9::7"),
        ("2001:db9::7", "2001:db9::7"),
        ("::ffff:203.0.113.9", CLIENT),
        ('"203.0.113.9"', CLIENT),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_an_address_may_be_written_in_several_ways(written: str, meant: str) -> None:
    assert str(read_address(written)) == meant
    assert address(written) == meant


def test_a_proxy_is_recognised_by_its_mapped_address() -> None:
    assert address(CLIENT, peer="::ffff:10.0.0.1") == CLIENT


def test_the_standard_header_is_read_as_its_rfc_says() -> None:
    lines = ['for=8.8.8.8, For="[2001:db9::7]:4711";proto=https;by=10.0.0.1']

    assert origin(forwarded=lines) == Origin("2001:db9::7", "https")
    assert origin(forwarded=["for=unknown"]) == Origin(PROXY)


def test_a_quote_that_a_client_leaves_open_hides_nothing() -> None:
    assert origin(forwarded=[f'for="8.8.8.8, for={CLIENT};proto=http']).address == CLIENT


def test_the_scheme_is_that_of_the_last_proxy() -> None:
    assert origin(forwarded_for=[CLIENT], forwarded_proto=["https"]).scheme == "https"
    assert origin(forwarded_for=[CLIENT], forwarded_proto=["gopher, https"]).scheme == "https"
    assert origin(forwarded_for=[CLIENT], forwarded_proto=["gopher"]).scheme is None
    assert origin(forwarded_for=[CLIENT]).scheme is None


def test_headers_that_contradict_each_other_are_both_not_believed() -> None:
    """A proxy that sets one of them passes on the other as its client has sent it."""
    agreed = origin(forwarded_for=[CLIENT], forwarded=[f"for={CLIENT}"])
    contradicting = origin(forwarded_for=[CLIENT], forwarded=["for=8.8.8.8"])

    assert agreed.address == CLIENT
    assert contradicting == Origin(PROXY)


def test_a_network_is_given_as_it_is() -> None:
    with pytest.raises(ValueError, match="host bits set"):
        read_network("10.0.0.1/8")
