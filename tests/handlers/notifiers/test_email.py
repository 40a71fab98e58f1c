"""E-mails: what arrives at a real relay, and how an attempt ends that it does not take."""

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rota.domain.primitives.ids import random_id
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Failed, Fatal, Succeeded
from rota.egress.guard import Guard
from rota.egress.smtp import client
from rota.egress.smtp.client import MailClient
from rota.egress.smtp.relay import SmtpRelay, SmtpTls
from tests.egress.certificates import certificate, server_context
from tests.egress.guards import loopback_guard
from tests.egress.hostile import Answer, Peer, serving
from tests.handlers.bench import Bench, started
from tests.handlers.conftest import SAMPLES
from tests.handlers.notifiers.relay import PASSWORD, USER, Relay, relaying
from tests.support.alert_events import event

TO = ["ops@example.com"]
SENDER = "Rota <rota@example.com>"


@contextmanager
def mailing(
    port: int, guard: Guard | None = None, trusted: Path | None = None, **over: Any
) -> Iterator[Bench]:
    """Start an executor that sends by a relay on the loopback."""
    given = {"host": "127.0.0.1", "tls": SmtpTls.NONE, "sender": SENDER} | over
    sending = MailClient(
        SmtpRelay(port=port, **given),
        guard or loopback_guard(),
        lambda: ssl.create_default_context(cafile=trusted),
    )
    with started(SAMPLES, mail=sending) as bench:
        yield bench


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Relay, Bench]]:
    with relaying() as relay, mailing(relay.port) as bench:
        yield relay, bench


@pytest.fixture
def relay(running: tuple[Relay, Bench]) -> Relay:
    relay, _ = running
    relay.replies.clear()
    relay.taken.clear()
    return relay


@pytest.fixture
def bench(running: tuple[Relay, Bench]) -> Bench:
    return running[1]


def mail(bench: Bench, event: Any = None, **input: Any) -> Any:
    given = {"to": TO} | input | (event or {})
    return bench.run("notify.email", json.dumps(given))


def test_an_event_arrives_as_plain_text_with_what_a_reader_needs(
    relay: Relay, bench: Bench
) -> None:
    outcome = mail(bench, event(), to=["ops@example.com", "dev@example.com"])

    assert isinstance(outcome, Succeeded), outcome
    (got,) = relay.taken
    assert (got.sender, got.recipients) == (
        "rota@example.com",
        ["ops@example.com", "dev@example.com"],
    )
    headers = got.message
    assert headers["From"] == SENDER
    assert headers["To"] == "ops@example.com, dev@example.com"
    assert headers["Subject"] == "[rota] nightly is failing (3 failures in a row)"
    assert headers["Auto-Submitted"] == "auto-generated"
    assert headers["X-Rota-Task"] == "some-task"
    assert headers.get_content_type() == "text/plain"
    for part in (
        "3 runs in a row have failed.",
        "http.status: 500 from crm.example.com",
        '500 /jobs/nightly\n  {"error": "column <foo> does not exist"}',
        "Took:              7 minutes and 12 seconds",
        "https://rota.example.com/v1/runs/019ac2f0-6a3c-7c4e-8b6e-2d0f3a1b4c5d/logs",
    ):
        assert part in got.text
    assert json.loads(outcome.result) == {
        "message_id": headers["Message-ID"],
        "accepted": ["ops@example.com", "dev@example.com"],
        "refused": {},
    }


def test_a_run_by_hand_sends_a_test(relay: Relay, bench: Bench) -> None:
    assert isinstance(mail(bench), Succeeded)

    (got,) = relay.taken
    assert got.message["Subject"] == "[rota] Test message"
    assert "This is a test" in got.text


def test_each_attempt_of_a_run_has_the_same_message_id(relay: Relay, bench: Bench) -> None:
    run_id = random_id()

    for _ in range(2):
        bench.run("notify.email", json.dumps({"to": TO}), run_id=run_id)
    mail(bench)

    first, again, other = (got.message["Message-ID"] for got in relay.taken)
    assert first == again == f"<{run_id}@example.com>"
    assert other != first


@pytest.mark.parametrize(
    "hostile",
    [
        "x\r\nBcc: victim@example.com\r\n\r\nbody",
        "x\nBcc: victim@example.com",
        "x\r\n.\r\nMAIL FROM:<evil@example.com>\r\nRCPT TO:<victim@example.com>\r\nDATA\r\n",
        "x\u2028Bcc: victim@example.com\x00\x1b[31m",
        "é =?utf-8?q?=0ABcc:_victim@example.com?=",
        "=?utf-8?q?=0D=0A=0D=0Abody?=",
    ],
)
def test_no_text_of_an_event_becomes_a_header_a_command_or_a_recipient(
    relay: Relay, bench: Bench, hostile: str
) -> None:
    run = {"id": hostile, "status": hostile, "reason": hostile, "error": {"message": hostile}}
    said = event(hostile, task=hostile, message=hostile, run=run, tags=[hostile])

    assert isinstance(mail(bench, said), Succeeded)

    (got,) = relay.taken
    assert got.recipients == TO
    assert got.message["Bcc"] is None
    assert not any(set(name.lower()) == set("bcc") for name in got.message)
    assert "\x1b" not in got.text


@pytest.mark.parametrize(
    "input",
    [
        {"to": ["a@example.com\r\nRCPT TO:<b@example.com>"]},
        {"to": ["<a@example.com>"]},
        {"to": ["a@example.com, b@example.com"]},
        {"to": []},
        {"from": "Rota\r\nBcc: b@example.com <a@example.com>"},
        {"from": "a@example.com> BODY=8BITMIME"},
        {"from": "=?utf-8?q?=0ABcc:_b@example.com?= <a@example.com>"},
        {"to": ["=?utf-8?q?=0ABcc?=@example.com"]},
    ],
)
def test_an_address_that_is_none_is_refused(relay: Relay, bench: Bench, input: Any) -> None:
    outcome = mail(bench, **input)

    assert isinstance(outcome, Fatal)
    assert outcome.error.type == "input.invalid"
    assert relay.taken == []


@pytest.mark.parametrize(
    ("to", "reply", "kind", "outcome"),
    [
        ("data", "451 4.3.0 Try again later", "smtp.refused", Failed),
        ("data", "554 5.7.1 It looks like spam", "smtp.refused", Fatal),
        ("ops@example.com", "450 4.2.0 Greylisted", "smtp.recipient", Failed),
        ("ops@example.com", "550 5.1.1 No such user", "smtp.recipient", Fatal),
        ("rota@example.com", "553 5.7.1 Sender is not allowed", "smtp.sender", Fatal),
    ],
)
def test_what_a_relay_refuses_for_now_is_tried_again_and_for_good_is_not(
    relay: Relay, bench: Bench, to: str, reply: str, kind: str, outcome: Any
) -> None:
    relay.replies[to] = reply

    ended = mail(bench, event())

    assert isinstance(ended, outcome)
    assert (ended.error.type, reply in ended.error.message) == (kind, True)


def test_a_recipient_that_is_refused_for_good_is_reported_and_the_others_get_it(
    relay: Relay, bench: Bench
) -> None:
    relay.replies["gone@example.com"] = "550 5.1.1 No such user"

    outcome = mail(bench, event(), to=["gone@example.com", *TO])

    assert isinstance(outcome, Succeeded)
    assert relay.taken[0].recipients == TO
    result = json.loads(outcome.result)
    assert result["accepted"] == TO
    assert result["refused"] == {"gone@example.com": "550 5.1.1 No such user"}


def test_a_recipient_that_is_refused_for_now_is_tried_again(relay: Relay, bench: Bench) -> None:
    relay.replies["slow@example.com"] = "450 4.2.0 Greylisted"

    outcome = mail(bench, event(), to=["slow@example.com", *TO])

    assert isinstance(outcome, Failed)
    assert "slow@example.com" in outcome.error.message


def test_without_a_relay_or_a_sender_it_says_which_setting_is_missing(relay: Relay) -> None:
    with started(SAMPLES) as none, mailing(relay.port, sender="") as unnamed:
        without, anonymous = mail(none), mail(unnamed)
        given = mail(unnamed, **{"from": "crm@example.com"})

    assert without == Fatal(
        RunError("smtp.settings", "e-mails are sent by a relay: set ROTA_SMTP_HOST")
    )
    assert "ROTA_SMTP_FROM" in anonymous.error.message
    assert isinstance(given, Succeeded)
    assert relay.taken[0].sender == "crm@example.com"


@pytest.mark.parametrize("tls", [SmtpTls.STARTTLS, SmtpTls.TLS])
def test_it_logs_in_over_an_encrypted_connection(tmp_path: Path, tls: SmtpTls) -> None:
    path = certificate(tmp_path, "localhost")
    context = server_context(path)
    served = {"starttls" if tls is SmtpTls.STARTTLS else "tls": context}
    login: dict[str, Any] = {"user": USER, "password": PASSWORD, "host": "localhost", "tls": tls}
    with relaying(**served) as relay, mailing(relay.port, trusted=path, **login) as bench:
        outcome = mail(bench, event())

    assert isinstance(outcome, Succeeded), outcome
    assert (relay.taken[0].is_encrypted, relay.taken[0].user) == (True, USER)


def test_a_wrong_password_is_fatal_and_not_shown(tmp_path: Path) -> None:
    path = certificate(tmp_path, "localhost")
    wrong: dict[str, Any] = {"user": USER, "password": "wrong-password", "host": "localhost"}
    with (
        relaying(starttls=server_context(path)) as relay,
        mailing(relay.port, trusted=path, tls=SmtpTls.STARTTLS, **wrong) as bench,
    ):
        outcome = mail(bench)

    assert isinstance(outcome, Fatal)
    assert outcome.error.type == "smtp.auth"
    assert "wrong-password" not in str(outcome)


def _refusing_every_password(peer: Peer) -> None:
    """Take no password, and leave the goodbye of TLS unanswered."""
    for reply in (b"220 relay\r\n", b"250-relay\r\n250 AUTH PLAIN\r\n"):
        peer.send(reply)
        peer.socket.recv(65_536)
    peer.send(b"535 5.7.8 Authentication failed\r\n")
    peer.over.wait()


def test_a_connection_that_the_relay_does_not_close_is_gone_when_the_attempt_ends(
    tmp_path: Path,
) -> None:
    path = certificate(tmp_path, "localhost")
    wrong: dict[str, Any] = {"user": USER, "password": "wrong-password", "host": "localhost"}
    # A connection that is left raises a ResourceWarning when the loop closes.
    with (
        serving(_refusing_every_password, tls=server_context(path)) as server,
        mailing(server.port, trusted=path, tls=SmtpTls.TLS, **wrong) as bench,
    ):
        outcome = mail(bench)

    assert isinstance(outcome, Fatal), outcome
    assert outcome.error.type == "smtp.auth"


def test_nothing_is_sent_to_a_relay_whose_certificate_is_not_valid(tmp_path: Path) -> None:
    path = certificate(tmp_path, "other.example")
    with (
        relaying(starttls=server_context(path)) as relay,
        mailing(relay.port, trusted=path, tls=SmtpTls.STARTTLS, host="localhost") as bench,
    ):
        outcome = mail(bench)

    assert isinstance(outcome, Failed)
    assert (outcome.error.type, relay.taken) == ("smtp.tls", [])
    assert "Hostname mismatch" in outcome.error.message


def test_nothing_is_sent_without_encryption_to_a_relay_that_offers_none(relay: Relay) -> None:
    with mailing(relay.port, tls=SmtpTls.STARTTLS, user=USER, password=PASSWORD) as bench:
        outcome = mail(bench)

    assert isinstance(outcome, Fatal)
    assert (outcome.error.type, relay.taken) == ("smtp.unsupported", [])


def _says(text: bytes) -> Answer:
    def act(peer: Peer) -> None:
        peer.send(text)
        peer.wait()

    return act


def test_a_relay_that_hangs_up_talks_nonsense_or_is_not_there_is_tried_again() -> None:
    port = 0
    for greeting in (b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"421 4.3.2 Shutting down\r\n"):
        with serving(_says(greeting) if greeting else lambda peer: None) as server:
            port = server.port
            with mailing(port) as bench:
                outcome = mail(bench)
        assert isinstance(outcome, Failed), (greeting, outcome)
    with mailing(port) as bench:
        assert mail(bench).error.type == "smtp.connect"


def test_a_silent_relay_does_not_outlast_the_attempt() -> None:
    with serving(lambda peer: peer.wait()) as server, mailing(server.port) as bench:
        soon = bench.executor._clock.monotonic() + 0.2
        outcome = bench.run("notify.email", json.dumps({"to": TO}), ends_at=soon)

    assert isinstance(outcome, Failed)
    assert outcome.error.type == "smtp.timeout"


def test_the_guard_judges_where_the_relay_is(relay: Relay) -> None:
    with mailing(relay.port, loopback_guard("public")) as bench:
        outcome = mail(bench)

    assert isinstance(outcome, Fatal)
    assert outcome.error.type == "smtp.forbidden"
    assert relay.taken == []


def test_a_relay_that_does_not_say_goodbye_has_taken_the_message(
    relay: Relay, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_GOODBYE", 0.05)
    relay.replies["quit"] = ""

    outcome = mail(bench, event())

    assert isinstance(outcome, Succeeded)
    assert len(relay.taken) == 1
