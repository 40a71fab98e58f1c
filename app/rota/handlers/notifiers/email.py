"""`notify.email`: an event as a message in plain text, by the relay in the settings."""

import re
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any

from rota.domain.alerts.notifiers import EMAIL, LONGEST_CALL, EmailInput, split_sender
from rota.domain.alerts.plain_text import subject_of, text_of
from rota.domain.primitives.json import json_text
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Failed, Fatal
from rota.egress.client import HTTP_CLIENT
from rota.egress.smtp.client import MAIL_CLIENT, MailClient, MailFailed
from rota.handlers.notifiers.hooks import message_in
from rota.handlers.outcomes import EndsWith
from rota.handlers.registry import BUILT_IN, register
from rota.sdk.contexts import Context
from rota.sdk.decorator import Handler

_NO_RELAY = "e-mails are sent by a relay: set ROTA_SMTP_HOST"
_NO_SENDER = "give 'from' in the input of the task, or set ROTA_SMTP_FROM"
#: What does not answer automatically to such messages (RFC 3834).
_AUTOMATIC = {"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All"}
_DOMAIN = re.compile(r"[^A-Za-z0-9.-]")


async def email(ctx: Context, input: EmailInput) -> dict[str, Any]:
    """Send the event of an alert by e-mail, by the relay that ROTA_SMTP_HOST names.

    The `input` of the task has the recipients: `{"to": ["ops@example.com"]}`, with `"from": "Rota <rota@example.com>"`
    unless ROTA_SMTP_FROM is set. Its Message-ID is made of the id of the run, the same at each attempt. Without an
    event it sends a test message.
    """
    client = MAIL_CLIENT.get()
    if client is None:
        raise EndsWith(Fatal(RunError("smtp.settings", _NO_RELAY)))
    name, sender = _sender(input, client)
    message = _message(ctx, input, name, sender)
    try:
        delivery = await client.send(_content_of(message), sender, input.to, _seconds(ctx))
    except MailFailed as failed:
        error = RunError(failed.kind, json_text.printable(str(failed), 1_000))
        raise EndsWith(Fatal(error) if failed.final else Failed(error)) from None
    for address, reply in delivery.refused.items():
        ctx.log.warning("%s was refused: %s", address, reply)
    return {
        "message_id": message["Message-ID"],
        "accepted": [each for each in input.to if each not in delivery.refused],
        "refused": delivery.refused,
    }


EMAIL_HANDLER = register(
    Handler(name=EMAIL, function=email, description=" ".join((email.__doc__ or "").split())),
    BUILT_IN,
)


def _sender(input: EmailInput, client: MailClient) -> tuple[str, str]:
    given = input.from_ or client.relay.sender
    if not given:
        raise EndsWith(Fatal(RunError("smtp.settings", _NO_SENDER)))
    return split_sender(given)


def _message(ctx: Context, input: EmailInput, name: str, sender: str) -> EmailMessage:
    """Return the message. Its texts have no line ends but in the body, and the addresses are of a safe form."""
    content = message_in(input)
    message = EmailMessage(policy=SMTP)
    message["Message-ID"] = f"<{ctx.run_id}@{_domain_of(sender)}>"
    message["Date"] = format_datetime(HTTP_CLIENT.get().clock.now())
    message["From"] = Address(display_name=name, addr_spec=sender)
    message["To"] = tuple(Address(addr_spec=each) for each in input.to)
    message["Subject"] = subject_of(content)
    for header, value in _AUTOMATIC.items():
        message[header] = value
    message["X-Rota-Task"], message["X-Rota-Run"] = ctx.task, ctx.run_id
    message.set_content(text_of(content), cte="quoted-printable")
    return message


def _content_of(message: EmailMessage) -> bytes:
    """Return a message as it is sent; fails the attempt if a header in it is none of those that were set.

    Releases of Python differ in what they let become a line end when they fold a header (CVE-2024-6923).
    """
    content = message.as_bytes()
    head, _, _ = content.partition(b"\r\n\r\n")
    lines = [line for line in head.decode("ascii").split("\r\n") if line[:1] not in {" ", "\t"}]
    if [line.partition(":")[0] for line in lines] != list(message.keys()):
        raise EndsWith(Fatal(RunError("smtp.message", "a text would become a header")))
    return content


def _domain_of(sender: str) -> str:
    return _DOMAIN.sub("", sender.rpartition("@")[2])


def _seconds(ctx: Context) -> float:
    """Return how many seconds are left: sending ends before its attempt does, so that its own end counts."""
    left = ctx.seconds_left(HTTP_CLIENT.get().clock.monotonic())
    return min(LONGEST_CALL.total_seconds(), left)
