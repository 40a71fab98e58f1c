"""The SMTP client: sends a message by the relay in the settings, on a connection that the guard has made.

aiosmtplib speaks the protocol; it opens no connection and resolves no name. A reply of the relay may be quoted in an
error, without the password.
"""

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import aiosmtplib

from rota.egress.guard import Guard, RefusedError, UnreachableError
from rota.egress.phases import Phases
from rota.egress.redaction import Redactor
from rota.egress.smtp.relay import SmtpRelay, SmtpTls
from rota.egress.tls import client_context

_MOST_QUOTED = 500
# From here on a reply is for good (RFC 5321, section 4.2.1).
_FINAL = 500
# The library has no class of its own for a relay that offers no STARTTLS, or no way to log in.
_UNSUPPORTED = (aiosmtplib.SMTPNotSupported, aiosmtplib.SMTPException)
# For how many seconds the relay may take to say goodbye.
_GOODBYE = 1.0
# Until the loop has closed a connection that was aborted.
_ITERATIONS = 3
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class Delivery:
    """What the relay has accepted: the recipients that it refused for good, each with its reply."""

    refused: dict[str, str]


class MailFailed(Exception):
    """The relay has not accepted a message; `kind` is the type of the error, and the text has no secrets.

    `final`: another attempt would fail in the same way.
    """

    def __init__(self, kind: str, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.kind = kind
        self.final = final


class _Session(aiosmtplib.SMTP):
    """A session that closes at once: a relay need not answer the goodbye of TLS, and nobody would wait for it."""

    def close(self) -> None:
        if self.transport is not None:
            # uvloop's transports are not registered as WriteTransport.
            cast("asyncio.WriteTransport", self.transport).abort()
        super().close()


class MailClient:
    """Sends messages by a relay, each on a connection of its own."""

    def __init__(
        self,
        relay: SmtpRelay,
        guard: Guard,
        context: Callable[[], ssl.SSLContext] = client_context,
    ) -> None:
        self.relay = relay
        self._guard = guard
        self._make_context = context
        self._redactor = Redactor([relay.password])

    async def send(
        self, message: bytes, sender: str, recipients: Sequence[str], within: float
    ) -> Delivery:
        """Send a message in ASCII to recipients, as addresses, within so many seconds; raises MailFailed.

        If the relay refuses some of them for now, the message was sent to the others, and is to be sent again.
        """
        client: _Session | None = None
        try:
            async with asyncio.timeout(within):
                with self._failures():
                    client = await self._connected()
                    replies, _ = await client.sendmail(sender, recipients, message)
        except TimeoutError:
            text = f"it has not accepted the message within {within:g} s"
            raise self._failed("smtp.timeout", text) from None
        finally:
            if client is not None:
                await _leave(client)
        return self._delivery(replies)

    def close(self) -> None:
        """End the threads of the client."""
        self._guard.close()

    def _delivery(self, replies: Mapping[str, aiosmtplib.SMTPResponse]) -> Delivery:
        """Return what was accepted, from the replies to recipients that were refused; raises MailFailed."""
        quoted = {address: self._quoted(reply) for address, reply in replies.items()}
        later = [address for address, reply in replies.items() if reply.code < _FINAL]
        if later:
            text = f"it refuses {later[0]} for now: {quoted[later[0]]}; others have got it"
            raise self._failed("smtp.recipient", text)
        return Delivery(quoted)

    async def _connected(self) -> _Session:
        relay = self.relay
        connected = await self._guard.connect(relay.host, relay.port, Phases())
        try:
            client = _Session(
                hostname=relay.host,
                sock=connected,
                username=relay.user or None,
                password=relay.password or None,
                use_tls=relay.tls is SmtpTls.TLS,
                start_tls=relay.tls is SmtpTls.STARTTLS,
                tls_context=None if relay.tls is SmtpTls.NONE else self._context,
                local_hostname=_own_name(),
                timeout=None,  # that of the whole exchange
            )
            await client.connect()
        except BaseException:
            connected.close()
            await _closed()
            raise
        return client

    @cached_property
    def _context(self) -> ssl.SSLContext:
        return self._make_context()

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Raise what goes wrong as MailFailed."""
        try:
            yield
        except (RefusedError, UnreachableError) as error:
            kind = "smtp.forbidden" if isinstance(error, RefusedError) else "smtp.connect"
            raise self._failed(kind, str(error), final=isinstance(error, RefusedError)) from None
        except aiosmtplib.SMTPException as error:
            raise self._refusal(error) from None
        except OSError as error:
            raise self._breakage(error) from None

    def _refusal(self, error: aiosmtplib.SMTPException) -> MailFailed:
        match error:
            case aiosmtplib.SMTPRecipientsRefused():
                first = error.recipients[0]
                final = all(each.code >= _FINAL for each in error.recipients)
                text = f"it refuses {first.recipient}: {self._quoted(first)}"
                return self._failed("smtp.recipient", text, final=final)
            case aiosmtplib.SMTPResponseException():
                return self._failed(_kind(error), self._quoted(error), final=error.code >= _FINAL)
            case _ if type(error) in _UNSUPPORTED:
                return self._failed("smtp.unsupported", self._shown(str(error)), final=True)
            case _:
                return self._breakage(error.__cause__ or error)

    def _breakage(self, error: BaseException) -> MailFailed:
        match error:
            case ssl.SSLCertVerificationError():
                text = f"its certificate is not valid: {error.verify_message}"
                return self._failed("smtp.tls", text)
            case ssl.SSLError():
                return self._failed("smtp.tls", f"TLS failed: {error.reason}")
            case _:
                return self._failed("smtp.disconnected", "the connection was lost")

    def _failed(self, kind: str, text: str, *, final: bool = False) -> MailFailed:
        return MailFailed(kind, f"{self.relay.host}: {text}", final=final)

    def _quoted(self, reply: aiosmtplib.SMTPResponse | aiosmtplib.SMTPResponseException) -> str:
        return f"{reply.code} {self._shown(str(reply.message))}"

    def _shown(self, text: str) -> str:
        return " ".join(self._redactor.text(text).split())[:_MOST_QUOTED]


#: The client of the built-in `notify.email`, None without ROTA_SMTP_HOST; the executor sets it for the handlers' loop.
MAIL_CLIENT: ContextVar[MailClient | None] = ContextVar("rota_mail_client", default=None)


async def _leave(client: _Session) -> None:
    """End a session; the message is sent or not by then, so that nothing here matters."""
    with contextlib.suppress(aiosmtplib.SMTPException, OSError):
        if client.is_connected:
            await client.quit(timeout=_GOODBYE)
    client.close()
    await _closed()


async def _closed() -> None:
    """Let the loop close what was aborted."""
    for _ in range(_ITERATIONS):
        await asyncio.sleep(0)


def _kind(error: aiosmtplib.SMTPResponseException) -> str:
    match error:
        case aiosmtplib.SMTPAuthenticationError():
            return "smtp.auth"
        case aiosmtplib.SMTPSenderRefused():
            return "smtp.sender"
        case _:
            return "smtp.refused"


def _own_name() -> str:
    """Return how the service greets the relay: the name of its machine."""
    name = socket.gethostname()
    return name if _HOST.fullmatch(name) else "localhost"
