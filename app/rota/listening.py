"""The sockets that the service listens on, opened before anything else: a process that cannot serve does no work."""

import errno
import socket
from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address
from typing import Any

from rota.errors import Invalid, Unavailable

_BACKLOG = 2_048
# A name such as localhost may have addresses that this machine is without.
_ABSENT = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
_Address = tuple[socket.AddressFamily, tuple[Any, ...]]


def listen(host: str, port: int, *, only_loopback: bool = False) -> list[socket.socket]:
    """Listen on every address of `host`; connections wait in the backlog until they are accepted.

    Raises Invalid for a host without an address, and, with `only_loopback`, for one that other machines can reach;
    Unavailable, with what to do, if a port cannot be bound.
    """
    listening: list[socket.socket] = []
    addresses = _addresses(host, port)
    if only_loopback:
        _check_loopback(host, addresses)
    try:
        _listen_on_all(addresses, listening)
    except OSError as error:
        for each in listening:
            each.close()
        raise Unavailable(_reason(host, port, error)) from None
    return listening


def check_loopback(host: str, port: int) -> None:
    """Raise Invalid if other machines can reach `host`."""
    _check_loopback(host, _addresses(host, port))


def _listen_on_all(addresses: Sequence[_Address], listening: list[socket.socket]) -> None:
    absent: OSError | None = None
    for family, (host, port, *more) in addresses:
        # If the system chooses the port (0), it chooses once.
        chosen = listening[0].getsockname()[1] if listening else port
        try:
            listening.append(_listen_on(family, (host, chosen, *more)))
        except OSError as error:
            if error.errno not in _ABSENT:
                raise
            absent = error
    if absent is not None and not listening:
        raise absent


def _addresses(host: str, port: int) -> list[_Address]:
    try:
        found = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        raise Invalid(f"ROTA_HOST: {host!r} is no address of this machine: {error}.") from None
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def _check_loopback(host: str, addresses: Sequence[_Address]) -> None:
    """Check the addresses, not the name: `localhost` may resolve to any."""
    public = [address[0] for _, address in addresses if not _is_loopback(address[0])]
    if not public:
        return
    shown = host if host.strip("[]") == public[0] else f"{host!r} ({public[0]})"
    raise Invalid(
        f"Refusing to listen on {shown} without an API key: everyone who reaches this machine could run jobs on it. "
        "Set ROTA_API_KEY (for example to the output of: openssl rand -hex 24), make a key with the scope admin (rota "
        "key create), or listen on 127.0.0.1."
    )


def _is_loopback(text: str) -> bool:
    address = ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _listen_on(family: socket.AddressFamily, address: tuple[Any, ...]) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        # A port with connections in TIME_WAIT can be bound again at once.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
        # Two processes can bind the same port; only one can listen.
        made.listen(_BACKLOG)
    except OSError:
        made.close()
        raise
    made.setblocking(False)
    return made


def _reason(host: str, port: int, error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"Port {port} of {host} is in use by another process. Stop it, or set another ROTA_PORT (or --port)."
        case errno.EACCES:
            return f"Port {port} of {host} may not be used by this user. Set ROTA_PORT (or --port) to 1024 or more."
        case errno.EADDRNOTAVAIL:
            return f"{host} is no address of this machine. Set ROTA_HOST (or --host) to one, or to 127.0.0.1."
        case _:
            return f"Cannot listen on port {port} of {host}: {error.strerror}."
