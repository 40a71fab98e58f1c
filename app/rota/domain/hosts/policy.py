"""What Rota may connect to: `ROTA_HTTP_TARGETS`."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_network

from rota.domain.hosts.addresses import (
    AddressKind,
    IpAddress,
    IpNetwork,
    is_never_allowed,
    is_within,
    kind_of,
    read_address,
)
from rota.domain.hosts.spelling import fault_of
from rota.errors import Invalid

_KINDS = {
    kind.value: kind for kind in (AddressKind.PUBLIC, AddressKind.PRIVATE, AddressKind.LOOPBACK)
}
# How far from this machine addresses of a kind are.
_DISTANCE = {
    AddressKind.FORBIDDEN: 0,
    AddressKind.LOOPBACK: 1,
    AddressKind.PRIVATE: 2,
    AddressKind.PUBLIC: 3,
}
_NETWORK = re.compile(r"[0-9.]+(/\d+)?|[0-9a-f.]*:[0-9a-f:.]*(/\d+)?")
_SETTING = "ROTA_HTTP_TARGETS"


@dataclass(frozen=True, slots=True)
class TargetPolicy:
    """Which addresses may be connected to: those of some kinds, in some networks, or of hosts with some names.

    `suffixes`: of names, each with its dot. Forbidden addresses are never allowed, whatever the rest says.
    """

    kinds: frozenset[AddressKind]
    networks: tuple[IpNetwork, ...] = ()
    names: frozenset[str] = frozenset()
    suffixes: tuple[str, ...] = ()

    @classmethod
    def of(cls, entries: Iterable[str]) -> "TargetPolicy":
        """Return the policy that a list of kinds, names and networks describes; raises Invalid."""
        kinds: set[AddressKind] = set()
        networks: list[IpNetwork] = []
        names: set[str] = set()
        for entry in (given.lower() for given in entries):
            if entry in _KINDS:
                kinds.add(_KINDS[entry])
            elif _NETWORK.fullmatch(entry):
                networks.append(_network(entry))
            else:
                names.add(_name(entry))
        suffixes = tuple(sorted(name[1:] for name in names if name.startswith("*.")))
        return cls(frozenset(kinds), tuple(networks), frozenset(names), suffixes)

    @classmethod
    def by_default(cls, *, on_loopback: bool) -> "TargetPolicy":
        """Return the policy without a setting; `on_loopback`: the service listens for this machine only.

        Who can use such a service is on the machine, and reaches its loopback anyway.
        """
        return cls.of(("public", "private", *(["loopback"] if on_loopback else [])))

    def allows(self, host: str, address: IpAddress) -> bool:
        """Return whether `address`, which `host` was resolved to, may be connected to."""
        kind = kind_of(address)
        if kind is AddressKind.FORBIDDEN:
            return False
        return kind in self.kinds or self._has(host, address)

    def allows_redirect(self, host: str, address: IpAddress, redirected_from: AddressKind) -> bool:
        """Return whether a redirect may lead there from an address of that kind: never nearer, unless it is listed.

        A kind of addresses is there for targets, which who registers a task has chosen, and not for whom they trust.
        """
        if _DISTANCE[kind_of(address)] < _DISTANCE[redirected_from]:
            return self.allows(host, address) and self._has(host, address)
        return self.allows(host, address)

    def allows_unresolved(self, host: str) -> bool:
        """Return whether a name may be asked of a proxy that has no address here: it is listed, or all names may be."""
        return AddressKind.PUBLIC in self.kinds or self.names_host(host)

    def fault_of(self, host: str) -> str | None:
        """Return why a host is refused whatever its name is resolved to, None if that has to be seen."""
        address = read_address(host)
        if address is None or self.allows(host, address):
            return None
        return f"Rota may not connect to {host}, a {kind_of(address)} address: {_SETTING} does not have it"

    def _has(self, host: str, address: IpAddress) -> bool:
        """Return whether the list has the host itself, or a network with the address."""
        return self.names_host(host) or is_within(address, self.networks)

    def names_host(self, host: str) -> bool:
        """Return whether the list has the name of a host."""
        name = host.lower().removesuffix(".")
        return name in self.names or name.endswith(self.suffixes) if self.names else False


def farthest(*kinds: AddressKind | None) -> AddressKind:
    """Return the kind of addresses that are the farthest from this machine; without any it may be every one."""
    known = (kind for kind in kinds if kind is not None)
    return max(known, key=_DISTANCE.__getitem__, default=AddressKind.PUBLIC)


def _network(entry: str) -> IpNetwork:
    try:
        network = ip_network(entry)
    except ValueError as error:
        raise Invalid(f"{_SETTING}: {entry!r} is no network: {error}.") from None
    if is_never_allowed(network):
        raise Invalid(
            f"{_SETTING}: {entry!r} has only addresses that Rota never connects to; leave it out."
        )
    return network


def _name(entry: str) -> str:
    if fault_of(entry.removeprefix("*.")) is not None:
        raise Invalid(
            f"{_SETTING}: {entry!r} is none of: public, private, loopback, a host name (app.internal, *.internal), "
            "a network (10.0.0.0/8)."
        )
    return entry
