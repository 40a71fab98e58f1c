"""A real SMTP server on the loopback, with configurable replies."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

USER, PASSWORD = "rota", "hunter2-and-more"


@dataclass
class Mail:
    """A message that the relay has taken."""

    sender: str
    recipients: list[str]
    content: bytes
    is_encrypted: bool
    user: str | None

    @property
    def message(self) -> EmailMessage:
        made = message_from_bytes(self.content, policy=policy.default)
        assert isinstance(made, EmailMessage)
        return made

    @property
    def text(self) -> str:
        return self.message.get_content().replace("\r\n", "\n")


@dataclass
class Relay:
    """The replies of the server by what they are to (an address, `data`, `quit`: none), and what it has taken."""

    port: int = 0
    replies: dict[str, str] = field(default_factory=dict)
    taken: list[Mail] = field(default_factory=list)
    connections: int = 0

    async def handle_EHLO(  # noqa: N802  # the name that aiosmtpd calls
        self, server: SMTP, session: Any, envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        self.connections += 1
        session.host_name = hostname
        return responses

    async def handle_MAIL(  # noqa: N802  # the name that aiosmtpd calls
        self, server: SMTP, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if address in self.replies:
            return self.replies[address]
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(  # noqa: N802  # the name that aiosmtpd calls
        self, server: SMTP, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if address in self.replies:
            return self.replies[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_QUIT(self, server: SMTP, session: Any, envelope: Any) -> str:  # noqa: N802  # the name that aiosmtpd calls
        if "quit" in self.replies:
            await asyncio.Event().wait()
        return "221 Bye"

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:  # noqa: N802  # the name that aiosmtpd calls
        if "data" in self.replies:
            return self.replies["data"]
        assert server.transport is not None
        user = session.auth_data.login.decode() if session.authenticated else None
        self.taken.append(
            Mail(
                envelope.mail_from,
                list(envelope.rcpt_tos),
                envelope.content,
                server.transport.get_extra_info("sslcontext") is not None,
                user,
            )
        )
        return "250 Message accepted"


def _authenticate(
    _server: SMTP, _session: Any, _envelope: Any, _mechanism: str, data: Any
) -> AuthResult:
    assert isinstance(data, LoginPassword)
    right = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=right, handled=False, auth_data=data)


@contextmanager
def relaying(
    starttls: ssl.SSLContext | None = None, tls: ssl.SSLContext | None = None
) -> Iterator[Relay]:
    """Serve SMTP: with STARTTLS, which is required then, or in TLS from the beginning, or without."""
    relay, ready, loop = Relay(), threading.Event(), asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # clients hang up

    def make() -> SMTP:
        return SMTP(
            relay,
            hostname="relay.example",
            loop=loop,
            tls_context=starttls,
            require_starttls=starttls is not None,
            authenticator=_authenticate,
            auth_require_tls=starttls is not None,
        )

    async def serve() -> asyncio.Server:
        server = await loop.create_server(make, "127.0.0.1", 0, ssl=tls)
        relay.port = server.sockets[0].getsockname()[1]
        ready.set()
        return server

    async def end(server: asyncio.Server) -> None:
        server.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def work() -> None:
        asyncio.set_event_loop(loop)
        server = loop.run_until_complete(serve())
        loop.run_forever()
        loop.run_until_complete(end(server))
        loop.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield relay
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
