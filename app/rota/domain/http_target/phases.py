"""Phases of a call: what Rota was doing for it when it failed."""

from enum import StrEnum


class CallPhase(StrEnum):
    """The phases of one exchange, in their order; `too_large`: the answer was given up for its size."""

    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    WRITE = "write"
    WAIT = "wait"
    READ = "read"
    TOO_LARGE = "too_large"
