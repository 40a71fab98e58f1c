"""Failed logins by address: after some within a minute, keys that are new there are not even tried.

A key that was accepted from the address before is let through, so that an attacker locks out nobody else behind the
same proxy or address translation. Others wait, whether their key is right or not: otherwise each attempt would show it.
(Stored keys, which cannot be guessed, are let through by who asks here.)
"""

from collections import OrderedDict, deque
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

WINDOW = 60.0
#: How many addresses, and how many keys from addresses, are remembered.
MOST = 10_000
# What one customer of a provider has at least (RFC 6177).
_NETWORK_BITS = 64


class FailedLogins:
    """The latest failures of each address, within one process. Times are monotonic, in seconds."""

    def __init__(self, most: int, window: float = WINDOW) -> None:
        """Allow `most` failures within `window`; 0: any number."""
        self._most = most
        self._window = window
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._accepted: OrderedDict[tuple[str, bytes], None] = OrderedDict()

    def wait(self, address: str, key: bytes, now: float) -> float:
        """Return after how many seconds a key may be tried from an address; 0: now. `key` is a digest of it."""
        source = source_of(address)
        failures = self._failures.get(source)
        if failures is None or (source, key) in self._accepted:
            return 0.0
        while failures and failures[0] <= now - self._window:
            failures.popleft()
        if not failures:
            del self._failures[source]
            return 0.0
        return failures[0] + self._window - now if len(failures) >= self._most else 0.0

    def failed(self, address: str, key: bytes, now: float) -> bool:
        """Record that a key was refused; return whether the address has to wait from now on."""
        if not self._most:
            return False
        source = source_of(address)
        self._accepted.pop((source, key), None)
        failures = self._failures.setdefault(source, deque(maxlen=self._most))
        before = len(failures)
        failures.append(now)
        self._failures.move_to_end(source)
        _shorten(self._failures)
        return before == self._most - 1

    def accepted(self, address: str, key: bytes) -> None:
        """Record that a key was accepted."""
        known = (source_of(address), key)
        self._accepted[known] = None
        self._accepted.move_to_end(known)
        _shorten(self._accepted)


@lru_cache(maxsize=1_024)
def source_of(address: str) -> str:
    """Return what counts as one address: of IPv6 the network of 64 bits, any address of which its owner can take."""
    try:
        read = ip_address(address)
    except ValueError:
        return address
    if not isinstance(read, IPv6Address):
        return str(read)
    if read.ipv4_mapped is not None:
        return str(read.ipv4_mapped)
    return str(IPv6Address(int(read) >> _NETWORK_BITS << _NETWORK_BITS))


def _shorten(
    remembered: OrderedDict[str, deque[float]] | OrderedDict[tuple[str, bytes], None],
) -> None:
    if len(remembered) > MOST:
        remembered.popitem(last=False)
