"""The guard: the only place that connects a socket. It connects to the address that it has judged, and to no other.

A host is resolved once. If one of its addresses is not allowed, none is connected to, and nothing is sent: a name that
resolves to something else the second time gains nothing, and whoever chooses the host cannot distinguish an open
port from a closed one where Rota may not connect.
"""

import asyncio
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from rota.domain.hosts.addresses import AddressKind, IpAddress, kind_of, read_address
from rota.domain.hosts.policy import TargetPolicy, farthest
from rota.domain.hosts.spelling import fault_of
from rota.domain.http_target.phases import CallPhase
from rota.egress.phases import Phases
from rota.egress.proxy import HttpProxy, ProxyError
from rota.egress.resolver import Found, LookupFailedError, Resolver
from rota.egress.urls import Url

#: How many of the addresses of a host are tried.
_MOST_TRIED = 4
# How long one address is tried while others are left, in seconds.
_EACH = 5.0
# How long the name of a host is looked up that a proxy will look up for itself, in seconds.
_BEFORE_A_PROXY = 1.0


class RefusedError(Exception):
    """Rota may not connect there. The text is the same for every reason."""

    def __init__(self) -> None:
        super().__init__("Rota may not connect to it (ROTA_HTTP_TARGETS)")


class UnreachableError(Exception):
    """No connection was made to a host that may be connected to; the text is the cause."""


@dataclass(frozen=True, slots=True)
class OwnEndpoint:
    """Where Rota itself, or its database, listens; `host` is a name, an address, or one that represents all.

    `is_for_targets`: a task may name it, but no redirect leads there.
    """

    host: str
    port: int
    is_for_targets: bool = False

    def is_named(self, host: str) -> bool:
        """Return whether it has this name, which may end with the dot of the root of all names."""
        return self.host.lower().removesuffix(".") == host.lower().removesuffix(".")


@dataclass(frozen=True, slots=True)
class Way:
    """A connection on which a request can be sent, and to what kind of address it leads in the end.

    `proxy`: the one that gets the request itself, with its whole URL; None where it goes to the host, in a tunnel too.
    """

    socket: socket.socket
    reached: AddressKind
    proxy: HttpProxy | None = None


class Guard:
    """Connects to hosts as far as the policy allows, and never to Rota's own endpoints."""

    def __init__(
        self,
        policy: TargetPolicy,
        own: Sequence[OwnEndpoint] = (),
        proxy: HttpProxy | None = None,
    ) -> None:
        """`proxy`: by which HTTP requests leave."""
        self.proxy = proxy
        self._policy = policy
        self._own = tuple(own)
        self._resolver = Resolver()

    async def way_to(
        self, url: Url, phases: Phases, redirected_from: AddressKind | None = None
    ) -> Way:
        """Return a connection for a request: directly, or by the proxy.

        Raises RefusedError, UnreachableError, and ProxyError. `redirected_from`: as for `connect`.
        """
        proxy = self.proxy
        if proxy is None or proxy.direct.names_host(url.host):
            return _direct(await self.connect(url.host, url.port, phases, redirected_from))
        phases.enter(CallPhase.DNS)
        found = await self._judged_for_proxy(url, redirected_from)
        addresses = [ip_address(address[0]) for _, address in found]
        if not proxy.is_for(url.host, addresses):
            return _direct(await self._dialled(found, phases))
        return await self._by_proxy(proxy, url, phases, farthest(*map(kind_of, addresses)))

    async def connect(
        self, host: str, port: int, phases: Phases, redirected_from: AddressKind | None = None
    ) -> socket.socket:
        """Return a connected socket that does not block; raises RefusedError or UnreachableError.

        `redirected_from`: where another server has led to this one, the farthest kind of address on the way.
        """
        phases.enter(CallPhase.DNS)
        try:
            found = await self._judged(host, port, redirected_from)
        except LookupFailedError as error:
            raise UnreachableError(str(error)) from None
        return await self._dialled(found, phases)

    def close(self) -> None:
        """End the threads of the guard."""
        self._resolver.close()

    async def _judged_for_proxy(
        self, url: Url, redirected_from: AddressKind | None
    ) -> Sequence[Found]:
        """Return the addresses of a host, all of them allowed; raises RefusedError.

        There are none if it is not resolved here, and its name alone is allowed.
        """
        try:
            async with asyncio.timeout(_BEFORE_A_PROXY):
                return await self._judged(url.host, url.port, redirected_from)
        except (LookupFailedError, TimeoutError):
            is_own = any(own.port == url.port and own.is_named(url.host) for own in self._own)
            if is_own or not self._policy.allows_unresolved(url.host):
                raise RefusedError from None
            return ()

    async def _by_proxy(
        self, proxy: HttpProxy, url: Url, phases: Phases, reached: AddressKind
    ) -> Way:
        """Return a connection to the proxy, on which it has made a tunnel to the host of an https URL."""
        try:
            made = await self._dialled(await self._addresses_of_proxy(proxy), phases)
        except (LookupFailedError, UnreachableError, RefusedError) as error:
            raise ProxyError(f"the proxy {proxy.name} is not reached: {error}") from None
        if url.scheme != "https":
            return Way(made, reached, proxy)
        try:
            await proxy.tunnel(made, url, phases)
        except BaseException:
            made.close()
            raise
        return Way(made, reached)

    async def _addresses_of_proxy(self, proxy: HttpProxy) -> Sequence[Found]:
        """Return where the proxy is: anywhere that is not forbidden, since who runs the service names it."""
        address = read_address(proxy.host)
        if address is not None:
            return [_of(address, proxy.port)]
        found = await self._resolver.resolve(proxy.host, proxy.port)
        if any(kind is AddressKind.FORBIDDEN for kind in map(_kind, found)):
            raise UnreachableError("its name leads to an address that Rota never connects to")
        return found

    async def _judged(
        self, host: str, port: int, redirected_from: AddressKind | None
    ) -> Sequence[Found]:
        """Return the addresses of a host, all of them allowed; raises RefusedError or LookupFailedError."""
        if fault_of(host) is not None or not 0 < port <= 65_535:
            raise RefusedError
        address = read_address(host)
        # Before it is looked up, which a scoped or odd address must not be.
        found = (
            await self._resolver.resolve(host, port) if address is None else [_of(address, port)]
        )
        if not all(self._is_allowed(host, each, redirected_from) for each in found):
            raise RefusedError
        if await self._is_own(host, found, port, is_redirected=redirected_from is not None):
            raise RefusedError
        return found

    def _is_allowed(self, host: str, found: Found, redirected_from: AddressKind | None) -> bool:
        # An address with a zone is link-local, and its text is not an address.
        address = read_address(found[1][0])
        if address is None:
            return False
        if redirected_from is None:
            return self._policy.allows(host, address)
        return self._policy.allows_redirect(host, address, redirected_from)

    async def _is_own(
        self, host: str, found: Sequence[Found], port: int, *, is_redirected: bool
    ) -> bool:
        for own in self._own:
            if own.port != port or (own.is_for_targets and not is_redirected):
                continue
            if own.is_named(host) or await self._reaches(own, found):
                return True
        return False

    async def _reaches(self, own: OwnEndpoint, found: Sequence[Found]) -> bool:
        """Return whether one of the addresses is that of an endpoint, or may be: its name is not resolved now."""
        known = await self._addresses_of(own)
        if known is None or known & {each[1][0] for each in found}:
            return True
        return _is_any_here(own.host) and any(map(_is_of_this_machine, found))

    async def _addresses_of(self, own: OwnEndpoint) -> set[str] | None:
        address = read_address(own.host)
        if address is not None:
            return {str(address)}
        try:
            return {each[1][0] for each in await self._resolver.resolve(own.host, own.port)}
        except LookupFailedError:
            return None

    async def _dialled(self, found: Sequence[Found], phases: Phases) -> socket.socket:
        phases.enter(CallPhase.CONNECT)
        return await self._first(found[:_MOST_TRIED])

    async def _first(self, found: Sequence[Found]) -> socket.socket:
        """Return a socket that is connected to the first of the addresses that answers."""
        why = ""
        for index, each in enumerate(found, 1):
            try:
                async with asyncio.timeout(_EACH if index < len(found) else None):
                    return await _connected(*each)
            except TimeoutError:
                why = why or f"no connection within {_EACH:g} s"
            except OSError as error:
                why = why or _words(error)
        raise UnreachableError(why)


async def _connected(family: socket.AddressFamily, address: tuple[object, ...]) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(made, address)
        _check_peer(made, str(address[0]))
    except BaseException:
        made.close()
        raise
    return made


def _direct(made: socket.socket) -> Way:
    return Way(made, kind_of(ip_address(made.getpeername()[0])))


def _words(error: OSError) -> str:
    # The text of the error itself is that of the event loop, with the address.
    text = os.strerror(error.errno) if error.errno else type(error).__name__
    return text.lower()[:200]


def _check_peer(connected: socket.socket, judged: str) -> None:
    if ip_address(connected.getpeername()[0]) != ip_address(judged):
        raise RefusedError


def _of(address: IpAddress, port: int) -> Found:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    return family, (str(address), port)


def _kind(found: Found) -> AddressKind:
    address = read_address(found[1][0])
    return AddressKind.FORBIDDEN if address is None else kind_of(address)


def _is_any_here(host: str) -> bool:
    """Return whether an endpoint is on this machine, and so perhaps at each of its addresses."""
    address = read_address(host)
    if address is None:
        return host.lower() == "localhost"
    return address.is_unspecified or address.is_loopback


def _is_of_this_machine(found: Found) -> bool:
    """Return whether an address belongs to this machine: only then can it be bound."""
    family, address = found
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address[0], 0, *address[2:]))
        except OSError:
            return False
    return True
