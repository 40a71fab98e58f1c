"""Phases of a call: what Rota was doing for it when it failed."""

from enum import StrEnum


class CallPhase(StrEnum):
    """The phases of one exchange, in their order.

    `auth`: an access token is awaited. `proxy`: the proxy is asked for a connection, or refuses the request.
    `too_large`: the answer was given up for its size.
    """

    AUTH = "auth"
    DNS = "dns"
    CONNECT = "connect"
    PROXY = "proxy"
    TLS = "tls"
    WRITE = "write"
    WAIT = "wait"
    READ = "read"
    TOO_LARGE = "too_large"
