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
        return (
            kind in self.kinds
            or self._names(host.lower().removesuffix("."))
            or is_within(address, self.networks)
        )

    def fault_of(self, host: str) -> str | None:
        """Return why a host is refused whatever its name is resolved to, None if that has to be seen."""
        address = read_address(host)
        if address is None or self.allows(host, address):
            return None
        return f"Rota may not connect to {host}, a {kind_of(address)} address: {_SETTING} does not have it"

    def _names(self, host: str) -> bool:
        return host in self.names or host.endswith(self.suffixes) if self.names else False


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
