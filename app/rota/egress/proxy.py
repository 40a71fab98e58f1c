"""The proxy by which requests leave: `ROTA_HTTP_PROXY` and `ROTA_HTTP_NO_PROXY`. HTTP_PROXY has no effect.

It carries https in a tunnel (CONNECT: RFC 9110, section 9.3.6), in which it sees the name and the port only. Requests
of http are given to it as they are, with their whole URL (RFC 9112, section 3.2.2): most proxies refuse tunnels to
port 80, and would see as much in one.
"""

import asyncio
import re
import socket
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from urllib.parse import unquote, urlsplit

import h11

from rota.domain.hosts.addresses import AddressKind, IpAddress, kind_of, read_address
from rota.domain.hosts.policy import TargetPolicy
from rota.domain.hosts.spelling import fault_of
from rota.domain.http_target.phases import CallPhase
from rota.egress.phases import Phases
from rota.egress.urls import Url
from rota.errors import Invalid
from rota.settings import Settings

_SETTING, _DIRECT = "ROTA_HTTP_PROXY", "ROTA_HTTP_NO_PROXY"
_READ = 16_384
_MOST_HEAD = 65_536
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
# What only a proxy answers.
_WRONG_CREDENTIALS = 407
# What a proxy answers when it cannot reach a host; anything else is its own refusal.
_NOT_REACHED = frozenset({502, 503, 504})
_Header = tuple[bytes, bytes]


class ProxyError(Exception):
    """The proxy is not reached, or refuses; the text is for users, with the cause and without credentials.

    `reaches_others`: it works, and the host that it was asked for does not answer it.
    """

    def __init__(self, message: str, *, reaches_others: bool = False) -> None:
        super().__init__(message)
        self.reaches_others = reaches_others


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpProxy:
    """The proxy; `authorization` is the value of `Proxy-Authorization`, or empty.

    `direct`: what is connected to without it.
    """

    host: str
    port: int
    authorization: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    direct: TargetPolicy

    @classmethod
    def of(cls, settings: Settings) -> "HttpProxy | None":
        """Return the proxy in the settings, None if there is none; raises Invalid, without the credentials."""
        given = settings.http_proxy.get_secret_value()
        if not given:
            if settings.http_no_proxy:
                raise Invalid(f"{_DIRECT} is set, but {_SETTING} is not.")
            return None
        return replace(_read(given), direct=_directly(settings.http_no_proxy))

    @property
    def name(self) -> str:
        """Where the proxy is, as it may be shown."""
        return _authority(self.host, self.port)

    @property
    def headers(self) -> list[_Header]:
        """What authorizes a request with the proxy."""
        if not self.authorization:
            return []
        return [(b"Proxy-Authorization", self.authorization.encode("ascii"))]

    @property
    def secrets(self) -> frozenset[str]:
        """What must not come back in a reply."""
        sent = {self.authorization.removeprefix("Basic "), self.password}
        return frozenset(sent - {""})

    def is_for(self, host: str, addresses: Iterable[IpAddress]) -> bool:
        """Return whether a host is reached by the proxy; `addresses`: what it was resolved to here, if it was.

        Loopback never is: it would be that of the machine of the proxy.
        """
        return not any(
            kind_of(address) is AddressKind.LOOPBACK or self.direct.allows(host, address)
            for address in addresses
        )

    def check(self, status: int, phases: Phases) -> None:
        """Raise ProxyError if the answer to a request is that of the proxy: only a 407, any other may be the host's."""
        if status == _WRONG_CREDENTIALS:
            phases.enter(CallPhase.PROXY)
            raise self._refusal(status)

    async def tunnel(self, connected: socket.socket, url: Url, phases: Phases) -> None:
        """Have the proxy connect a socket that leads to it with the host of a URL; raises ProxyError."""
        phases.enter(CallPhase.PROXY)
        state = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MOST_HEAD)
        authority = _authority(url.host.removesuffix("."), url.port).encode("ascii")
        headers = [(b"Host", authority), *self.headers]
        request = h11.Request(method=b"CONNECT", target=authority, headers=headers)
        try:
            status = await _asked(connected, state, state.send(request) or b"")
        except OSError:
            raise ProxyError(f"the proxy {self.name} closed the connection") from None
        except h11.RemoteProtocolError:
            raise ProxyError(f"the answer of the proxy {self.name} is not HTTP/1.1") from None
        if not 200 <= status < 300:
            raise self._refusal(status)
        if state.trailing_data[0]:
            # Servers of TLS wait for the client: it would be taken for the answer of the host.
            raise ProxyError(f"the proxy {self.name} sent more than its answer")

    def _refusal(self, status: int) -> ProxyError:
        """Return the error for the status of an answer that the proxy itself gave."""
        if status == _WRONG_CREDENTIALS:
            fault = "refuses the credentials of" if self.authorization else "wants credentials in"
            return ProxyError(f"the proxy {self.name} {fault} {_SETTING} (407)")
        if status in _NOT_REACHED:
            text = f"the proxy {self.name} cannot reach it ({status})"
            return ProxyError(text, reaches_others=True)
        return ProxyError(f"the proxy {self.name} refuses to connect to it ({status})")


async def _asked(connected: socket.socket, state: h11.Connection, request: bytes) -> int:
    """Return the status of the answer to a request; interim answers are passed over."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connected, request)
    state.send(h11.EndOfMessage())
    while not isinstance(event := state.next_event(), h11.Response):
        if event is h11.NEED_DATA:
            state.receive_data(await loop.sock_recv(connected, _READ))
        elif not isinstance(event, h11.InformationalResponse):
            raise h11.RemoteProtocolError("no answer")
    return event.status_code


def _read(given: str) -> HttpProxy:
    """Return the proxy that a URL names; raises Invalid, which does not quote it: it may have a password."""
    try:
        parts = urlsplit(given)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _unusable("it is not a URL") from None
    if parts.scheme != "http":
        raise _unusable("its scheme is not http; Rota speaks to a proxy without TLS")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise _unusable("it has a path, a query or a fragment")
    if not port:
        raise _unusable("it has no port")
    if (fault := fault_of(host)) is not None:
        raise _unusable(fault)
    address = read_address(host)
    if address is not None and kind_of(address) is AddressKind.FORBIDDEN:
        raise _unusable("Rota never connects to that address")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return HttpProxy(
        host=host,
        port=port,
        authorization=_basic(user, password) if parts.username or parts.password else "",
        password=password,
        direct=TargetPolicy(frozenset()),
    )


def _basic(user: str, password: str) -> str:
    if ":" in user or _CONTROLS.search(user + password):
        raise _unusable("its user name has a colon, or its credentials have control characters")
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"


def _directly(entries: Iterable[str]) -> TargetPolicy:
    try:
        return TargetPolicy.of(entries)
    except Invalid as error:
        raise Invalid(str(error).replace("ROTA_HTTP_TARGETS", _DIRECT)) from None


def _unusable(why: str) -> Invalid:
    return Invalid(f"{_SETTING}: {why}; give it as http://user:password@proxy.internal:3128.")


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
