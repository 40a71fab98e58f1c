"""The client of a request that came through proxies: what is known of it, and from whom.

A proxy appends the address of who has connected to it (`X-Forwarded-For`, `Forwarded` of RFC 7239). What a trusted
proxy has appended is true; what was there before is what its client says.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_WITH_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::\d{1,5})?")
#: More hops than any chain of proxies has are not looked at.
_MOST_HOPS = 32


@dataclass(frozen=True, slots=True)
class Hop:
    """What a proxy says of who has connected to it; None: it does not say, or nothing that can be read."""

    address: Address | None
    scheme: str | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from, and by which scheme if a trusted proxy says so."""

    address: str
    scheme: str | None = None


def read_network(text: str) -> Network:
    """Return the network of an address or a CIDR block; raises ValueError."""
    return ip_network(text.strip())


def origin_of(
    peer: str,
    trusted: Sequence[Network],
    *,
    forwarded: Sequence[str] = (),
    forwarded_for: Sequence[str] = (),
    forwarded_proto: Sequence[str] = (),
) -> Origin:
    """Return the client of a connection from `peer` with these headers, each a list of its lines.

    It is the last hop that is no trusted proxy, or the last one that is known. If both headers are there and name
    different clients, a proxy has passed on the one that it does not set: neither is believed.
    """
    nearest = read_address(peer)
    if nearest is None or not _is_among(nearest, trusted):
        return Origin(peer)
    standard, usual = read_forwarded(forwarded), read_forwarded_for(forwarded_for)
    origin = _last_untrusted(nearest, standard or usual, trusted)
    if standard and usual and _last_untrusted(nearest, usual, trusted).address != origin.address:
        return Origin(str(nearest))
    scheme = origin.scheme if standard else _scheme(",".join(forwarded_proto).rpartition(",")[2])
    return Origin(origin.address, scheme)


def read_forwarded_for(lines: Sequence[str]) -> list[Hop]:
    """Return the hops of `X-Forwarded-For`, the nearest last."""
    parts = [part for part in ",".join(lines).split(",") if part.strip()]
    return [Hop(read_address(part)) for part in parts[-_MOST_HOPS:]]


def read_forwarded(lines: Sequence[str]) -> list[Hop]:
    """Return the hops of `Forwarded`, the nearest last."""
    # Also at commas in quotes: no address has one, and a client's open quote must not swallow what a proxy appends.
    elements = [each for each in ",".join(lines).split(",") if each.strip()]
    return [_read_element(each) for each in elements[-_MOST_HOPS:]]


def read_address(text: str) -> Address | None:
    """Return an address, which may have a port; None for a name, `unknown`, or anything else."""
    given = text.strip().strip('"')
    match = _WITH_PORT.fullmatch(given)
    bare = (match[1] or match[2]) if match else given.partition("%")[0]
    try:
        read = ip_address(bare)
    except ValueError:
        return None
    return (read.ipv4_mapped or read) if isinstance(read, IPv6Address) else read


def _read_element(element: str) -> Hop:
    given = (pair.partition("=") for pair in element.split(";"))
    pairs = {name.strip().lower(): value.strip().strip('"') for name, _, value in given}
    return Hop(read_address(pairs.get("for", "")), _scheme(pairs.get("proto", "")))


def _last_untrusted(nearest: Address, hops: Sequence[Hop], trusted: Sequence[Network]) -> Origin:
    found = Origin(str(nearest))
    for hop in reversed(hops):
        if hop.address is None:
            break
        found = Origin(str(hop.address), hop.scheme or found.scheme)
        if not _is_among(hop.address, trusted):
            break
    return found


def _scheme(text: str) -> str | None:
    given = text.strip().lower()
    return given if given in {"http", "https"} else None


def _is_among(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
