"""Kinds of IP addresses: what may be connected to by a setting, and what never.

Sources: the IANA special-purpose address registries (RFC 6890), the transition mechanisms that embed an IPv4 address
(RFC 4291, 6052, 3056, 4380), and the addresses at which clouds serve credentials of the machine.
"""

from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

IpAddress = IPv4Address | IPv6Address
IpNetwork = IPv4Network | IPv6Network


class AddressKind(StrEnum):
    """What an address is, as far as connections are concerned."""

    PUBLIC = "public"
    PRIVATE = "private"
    LOOPBACK = "loopback"
    FORBIDDEN = "forbidden"


def _networks(*texts: str) -> tuple[IpNetwork, ...]:
    return tuple(ip_network(text) for text in texts)


# Of clouds: in ranges that are public or private otherwise.
_METADATA = _networks(
    "100.100.100.200/32",  # Alibaba
    "168.63.129.16/32",  # Azure
    "fd00:ec2::/32",  # AWS: metadata, credentials of pods, time, DNS
    "fd20:ce::254/128",  # Google
)
_FORBIDDEN = (
    *_METADATA,
    *_networks(
        "0.0.0.0/8",  # "this network": 0.0.0.0 is the machine itself
        "169.254.0.0/16",  # link-local, with the metadata of most clouds
        "192.0.0.0/24",  # protocol assignments, with the metadata of Oracle
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # class E, and broadcast
        "2001::/23",  # protocol assignments: Teredo, benchmarking, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: embeds an IPv4 address
        "3ffe::/16",  # 6bone, returned
        "3fff::/20",  # documentation
    ),
)
_LOOPBACK = _networks("127.0.0.0/8", "::1/128")
_PRIVATE = _networks("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
# All other IPv6 addresses are refused: unspecified, IPv4-mapped and -compatible, NAT64, link-local, site-local,
# multicast, discard, segment routing, unassigned.
_GLOBAL_UNICAST = IPv6Network("2000::/3")


@lru_cache(maxsize=4_096)
def kind_of(address: IpAddress) -> AddressKind:
    """Return the kind of an address; one that embeds another address is forbidden, whatever it embeds."""
    if is_within(address, _FORBIDDEN):
        return AddressKind.FORBIDDEN
    if is_within(address, _LOOPBACK):
        return AddressKind.LOOPBACK
    if is_within(address, _PRIVATE):
        return AddressKind.PRIVATE
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return AddressKind.FORBIDDEN
    return AddressKind.PUBLIC


def is_within(address: IpAddress, networks: tuple[IpNetwork, ...]) -> bool:
    """Return whether an address is in one of the networks; those of the other version have none of it."""
    return any(address in network for network in networks)


def is_never_allowed(network: IpNetwork) -> bool:
    """Return whether a network has only addresses that are forbidden."""
    ends = {kind_of(network[0]), kind_of(network[-1])}
    inside = (
        each.version == network.version and network.subnet_of(each)  # type: ignore[arg-type]
        for each in _FORBIDDEN
    )
    outside = network.version == 6 and not network.overlaps(_GLOBAL_UNICAST)
    return any(inside) or (outside and ends == {AddressKind.FORBIDDEN})


def read_address(host: str) -> IpAddress | None:
    """Return the address that a host is written as, None for a name and for an address with a zone."""
    try:
        return None if "%" in host else ip_address(host)
    except ValueError:
        return None
