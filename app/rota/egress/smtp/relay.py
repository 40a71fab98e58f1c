"""The relay for e-mails: `ROTA_SMTP_*`."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from rota.domain.alerts.notifiers import split_sender
from rota.domain.hosts.spelling import fault_of
from rota.domain.secrets.origins import is_loopback
from rota.errors import Invalid
from rota.settings import Settings


class SmtpTls(StrEnum):
    """How the connection to the relay is encrypted."""

    STARTTLS = "starttls"  # required: never without, if the relay does not offer it
    TLS = "tls"  # from the first byte
    NONE = "none"


_USUAL_PORTS: Final = {SmtpTls.STARTTLS: 587, SmtpTls.TLS: 465, SmtpTls.NONE: 25}


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpRelay:
    """The relay; `sender` is what messages are from that name no sender."""

    host: str
    port: int
    tls: SmtpTls = SmtpTls.STARTTLS
    user: str = ""
    password: str = field(default="", repr=False)
    sender: str = ""

    @classmethod
    def of(cls, settings: Settings) -> "SmtpRelay | None":
        """Return the relay in the settings, None if there is none; raises Invalid."""
        password = settings.smtp_password.get_secret_value()
        _check(settings, password)
        if not settings.smtp_host:
            return None
        tls = SmtpTls(settings.smtp_tls)
        return cls(
            host=settings.smtp_host,
            port=settings.smtp_port or _USUAL_PORTS[tls],
            tls=tls,
            user=settings.smtp_user,
            password=password,
            sender=settings.smtp_from,
        )


def _check(settings: Settings, password: str) -> None:
    host, sender = settings.smtp_host, settings.smtp_from
    if not host and (settings.smtp_user or password or sender):
        raise Invalid("ROTA_SMTP_HOST is not set, but other settings of the relay are.")
    if host and (fault := fault_of(host)) is not None:
        raise Invalid(f"ROTA_SMTP_HOST: {fault}.")
    if bool(password) != bool(settings.smtp_user):
        raise Invalid("Give ROTA_SMTP_USER and ROTA_SMTP_PASSWORD together, or neither.")
    if password and SmtpTls(settings.smtp_tls) is SmtpTls.NONE and not _is_here(host):
        raise Invalid(
            "With ROTA_SMTP_TLS=none ROTA_SMTP_PASSWORD would be sent to another machine unencrypted: use starttls "
            "or tls."
        )
    _check_sender(sender)


def _check_sender(sender: str) -> None:
    try:
        if sender:
            split_sender(sender)
    except ValueError as error:
        raise Invalid(f"ROTA_SMTP_FROM: {error}.") from None


def _is_here(host: str) -> bool:
    return is_loopback(f"http://[{host}]" if ":" in host else f"http://{host}")
