"""Failed logins by address: after some within a minute, further wrong keys are refused with the time to wait.

A right key is never slowed: who sends wrong ones, from the same address or all the time, locks out nobody. So this does
not keep a key from being guessed, which its length does; it makes clients with an old key stop, and shows them in the
log.
"""

from collections import OrderedDict, deque
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

WINDOW = 60.0
#: How many addresses are remembered.
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

    def wait(self, address: str, now: float) -> float:
        """Return for how many seconds wrong keys from an address are refused at once; 0: not now."""
        source = source_of(address)
        failures = self._failures.get(source)
        if failures is None:
            return 0.0
        while failures and failures[0] <= now - self._window:
            failures.popleft()
        if not failures:
            del self._failures[source]
            return 0.0
        return failures[0] + self._window - now if len(failures) >= self._most else 0.0

    def failed(self, address: str, now: float) -> bool:
        """Record that a key was refused; return whether the address has to wait from now on."""
        if not self._most:
            return False
        source = source_of(address)
        failures = self._failures.setdefault(source, deque(maxlen=self._most))
        before = len(failures)
        failures.append(now)
        self._failures.move_to_end(source)
        if len(self._failures) > MOST:
            self._failures.popitem(last=False)
        return before == self._most - 1


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
