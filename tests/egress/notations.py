"""Spellings of addresses that Rota must not connect to."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

#: What must never be connected to, whatever is allowed.
FORBIDDEN = (
    "0.0.0.0",
    "169.254.169.254",
    "169.254.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "203.0.113.7",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
)
FORBIDDEN_V6 = (
    "::",
    "fe80::1",
    "fec0::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "ff02::1",
    "100::1",
    "2001:db8::1",
    "2001::1",
    "2001:2::1",
    "3fff::1",
    "5f00::1",
    "4000::1",
)
_FULL_WIDTH = str.maketrans("0123456789", "".join(chr(0xFF10 + digit) for digit in range(10)))


def spellings(text: str) -> Iterator[str]:
    """Yield hosts that some parser or resolver takes for an IPv4 address, and that are not its usual form."""
    number = int(IPv4Address(text))
    octets = text.split(".")
    yield str(number)
    yield hex(number)
    yield f"0{number:o}"
    yield ".".join(hex(int(each)) for each in octets)
    yield ".".join(f"0{int(each):o}" for each in octets)
    yield ".".join(f"{int(each):03d}" for each in octets)
    yield _short(octets)
    yield text.translate(_FULL_WIDTH)
    yield text.replace(".", "\u3002")
    yield text.replace(".", "%2e")
    yield f"{text}."
    yield from (f"[{each}]" for each in embeddings(text))


def embeddings(text: str) -> Iterator[str]:
    """Yield the IPv6 addresses that embed an IPv4 address."""
    number = int(IPv4Address(text))
    yield f"::ffff:{text}"
    yield str(IPv6Address(0xFFFF << 32 | number))
    yield f"::{number >> 16:x}:{number & 0xFFFF:x}"
    yield f"64:ff9b::{number >> 16:x}:{number & 0xFFFF:x}"
    yield f"64:ff9b:1::{number >> 16:x}:{number & 0xFFFF:x}"
    yield f"2002:{number >> 16:x}:{number & 0xFFFF:x}::1"
    inverted = number ^ 0xFFFFFFFF
    yield f"2001:0:4136:e378:8000:63bf:{inverted >> 16:x}:{inverted & 0xFFFF:x}"


def _short(octets: list[str]) -> str:
    """Return the form with three parts, of which the last one represents two octets."""
    return f"{octets[0]}.{octets[1]}.{int(octets[2]) * 256 + int(octets[3])}"


def _usual(text: str) -> str:
    return f"[{text}]" if ":" in text else text


#: More than 250 hosts of URLs: forbidden addresses in their usual form, and others in unusual ones.
HOSTS: tuple[str, ...] = (
    *map(_usual, (*FORBIDDEN, *FORBIDDEN_V6)),
    *(f"[{text}%25lo]" for text in ("::1", "fe80::1", "2606:4700::1")),
    *(
        spelling
        for text in (*FORBIDDEN, "127.0.0.1", "10.0.0.1", "8.8.8.8")
        for spelling in spellings(text)
    ),
    *("127.1", "0", "0x7f.1", "1.2.3", "017700000001", "0x", "08.8.8.8", "256.256.256.256"),
    *("1.2.3.4.5", "a..b", "-a-.example", "a b.example", "\u2460.example", "a\u00adb.example"),
)
