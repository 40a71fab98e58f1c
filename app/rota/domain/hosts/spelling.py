"""Spellings of hosts: one that two parsers could read differently is not accepted."""

import re
import unicodedata
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import urlsplit

from rota.domain.hosts.addresses import AddressKind, kind_of, read_address

_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*", re.IGNORECASE)
# A last label that inet_aton, and so many resolvers, would read as a number: 127.1, 2130706433, 0x7f000001.
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+", re.IGNORECASE)


def fault_of_host(url: str) -> str | None:
    """Return what is wrong with how the host of an absolute URL is written, None if nothing is."""
    parts = urlsplit(url)
    authority, host = parts.netloc.rpartition("@")[2], parts.hostname or ""
    if "%" in authority:
        return "the host cannot have a '%': neither a zone of an address nor an escaped character"
    return fault_of(host) if authority.isascii() else _fault_beyond_ascii(authority, host)


def fault_of(host: str) -> str | None:
    """Return what is wrong with a host, None if it is a name or an address that may be connected to by a setting."""
    address = read_address(host)
    if address is None:
        return _fault_of_name(host.removesuffix("."))
    if kind_of(address) is AddressKind.FORBIDDEN:
        return f"Rota never connects to {host}: it is {_what_is(address)}"
    return None


def _fault_of_name(host: str) -> str | None:
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        return "write an IPv4 address as four decimal numbers, such as 192.168.0.10"
    if not _NAME.fullmatch(host):
        return "the host is neither a name, such as app.example.com, nor an IP address"
    return None


def _what_is(address: IPv4Address | IPv6Address) -> str:
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return f"an IPv4 address in another form; write {address.ipv4_mapped}"
    return "a link-local, metadata, multicast, reserved or translated address"


def _fault_beyond_ascii(authority: str, host: str) -> str | None:
    """Accept letters that represent themselves: no digits, dots and slashes of other forms, which parsers may fold."""
    other = [char for char in authority if not char.isascii()]
    if all(_is_letter(char) for char in other) and unicodedata.is_normalized("NFKC", host):
        return fault_of("".join(char if char.isascii() else "x" for char in host))
    return "write the host with letters that have no other form, or in ASCII (xn--…)"


def _is_letter(char: str) -> bool:
    return unicodedata.category(char)[0] in "LM"
