"""The settings of the relay: what goes together, and what is refused with what would be right."""

from typing import Any

import pytest
from pydantic import SecretStr

from rota.egress.smtp.relay import SmtpRelay, SmtpTls
from rota.errors import Invalid
from rota.settings import Settings

HOST = "smtp.example.com"


def relay(**fields: Any) -> SmtpRelay | None:
    password = SecretStr(fields.pop("password", ""))
    given = {f"smtp_{name}": value for name, value in fields.items()}
    return SmtpRelay.of(Settings(smtp_password=password, **given))


@pytest.mark.parametrize(("tls", "port"), [("starttls", 587), ("tls", 465), ("none", 25)])
def test_the_port_is_the_usual_one_of_the_encryption(tls: str, port: int) -> None:
    assert relay(host=HOST, tls=tls) == SmtpRelay(host=HOST, port=port, tls=SmtpTls(tls))
    assert relay(host=HOST, tls=tls, port=2_525) == SmtpRelay(
        host=HOST, port=2_525, tls=SmtpTls(tls)
    )


def test_without_a_host_there_is_no_relay() -> None:
    assert relay() is None


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"from": "rota@example.com"}, "ROTA_SMTP_HOST"),
        ({"user": "rota", "password": "hunter2"}, "ROTA_SMTP_HOST"),
        ({"host": "smtp example"}, "ROTA_SMTP_HOST"),
        ({"host": "169.254.169.254"}, "ROTA_SMTP_HOST"),
        ({"host": HOST, "user": "rota"}, "ROTA_SMTP_PASSWORD"),
        ({"host": HOST, "password": "hunter2"}, "ROTA_SMTP_USER"),
        ({"host": HOST, "user": "a", "password": "hunter2", "tls": "none"}, "ROTA_SMTP_TLS"),
        ({"host": HOST, "from": "rota"}, "ROTA_SMTP_FROM"),
    ],
)
def test_settings_that_cannot_send_are_refused(fields: Any, named: str) -> None:
    with pytest.raises(Invalid) as refused:
        relay(**fields)

    assert named in refused.value.detail
    assert "hunter2" not in refused.value.detail


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_to_this_machine_a_password_may_go_unencrypted(host: str) -> None:
    login = {"user": "rota", "password": "hunter2"}

    found = relay(host=host, tls="none", **login)

    assert found is not None
    assert "hunter2" not in repr(found)
