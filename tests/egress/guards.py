"""Guards for tests, whose servers are on the loopback."""

from rota.domain.hosts.policy import TargetPolicy
from rota.egress.guard import Guard


def loopback_guard(*entries: str) -> Guard:
    """Return a guard that allows this machine, private networks and the internet, or what `entries` allow."""
    return Guard(TargetPolicy.of(entries or ("public", "private", "loopback")))
