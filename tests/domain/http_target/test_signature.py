"""Signatures, against the public library of Standard Webhooks."""

import base64
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from rota.domain.http_target.signature import InvalidKey, keys_of, read_key, signature_headers
from rota.domain.http_target.target import Target
from rota.domain.secrets.opened import OpenedSecret

# The example of the specification.
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + base64.b64encode(bytes(range(32))).decode()
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"

KEYS = st.binary(min_size=24, max_size=64).map(
    lambda key: "whsec_" + base64.b64encode(key).decode()
)
IDS = st.from_regex(r"[0-9a-f-]{1,40}", fullmatch=True)
TEXTS = st.text(st.characters(codec="utf-8")) | st.text("é\n\r{}.:, €", max_size=50)


def _headers(body: bytes, *, key: str = KEY, id: str = ID, at: int | None = None) -> dict[str, str]:
    """Sign a body; `at`: now if it is left out, since the library accepts the last five minutes only."""
    return signature_headers([read_key(key)], id, _now() if at is None else at, body)


def _now() -> int:
    return int(time.time())


def _verify(key: str, body: bytes, headers: dict[str, str]) -> None:
    Webhook(key).verify(body, headers, json_parse=False)


def _is_refused(key: str, body: bytes, headers: dict[str, str]) -> bool:
    try:
        _verify(key, body, headers)
    except (WebhookVerificationError, UnicodeDecodeError):
        return True
    return False


def test_the_vector_of_the_specification() -> None:
    assert _headers(b'{"test": 2432232314}', at=1614265330) == {
        "webhook-id": ID,
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@settings(max_examples=1_000)
@given(KEYS, IDS, TEXTS)
def test_the_public_library_accepts_every_signature(key: str, id: str, text: str) -> None:
    body = text.encode()

    _verify(key, body, _headers(body, key=key, id=id, at=_now()))


@settings(max_examples=300)
@given(TEXTS.filter(bool), st.data())
def test_one_changed_byte_of_a_body_is_noticed(text: str, data: st.DataObject) -> None:
    body = text.encode()
    headers = _headers(body, at=_now())
    place = data.draw(st.integers(0, len(body) - 1))
    changed = bytearray(body)
    changed[place] ^= data.draw(st.integers(1, 255))

    assert _is_refused(KEY, bytes(changed), headers)
    assert _is_refused(KEY, body[:place] + body[place + 1 :], headers)
    assert _is_refused(KEY, body + body[place : place + 1], headers)


@pytest.mark.parametrize(
    "changed",
    [
        {"webhook-id": ID + "x"},
        {"webhook-id": ID.swapcase()},
        {"webhook-signature": "v1," + base64.b64encode(bytes(32)).decode()},
    ],
)
def test_what_is_signed_beside_the_body_cannot_be_changed(changed: dict[str, str]) -> None:
    headers = _headers(b"body")

    assert not _is_refused(KEY, b"body", headers)
    assert _is_refused(KEY, b"body", headers | changed)


def test_neither_the_time_nor_the_signature_of_another_body_fits() -> None:
    now = _now()
    headers = _headers(b"body", at=now)
    signature = headers["webhook-signature"]

    assert _is_refused(KEY, b"body", headers | {"webhook-timestamp": str(now + 1)})
    assert _is_refused(KEY, b"body", headers | {"webhook-signature": "v2" + signature[2:]})
    assert _is_refused(
        KEY,
        b"body",
        headers | {"webhook-signature": _headers(b"other", at=now)["webhook-signature"]},
    )


def test_a_part_cannot_be_moved_from_the_body_to_the_timestamp() -> None:
    headers = _headers(b"1.x")

    assert _is_refused(
        KEY, b"x", headers | {"webhook-timestamp": headers["webhook-timestamp"] + ".1"}
    )


@pytest.mark.parametrize("skew", [-301, 301])
def test_a_signature_of_another_time_is_refused(skew: int) -> None:
    now = _now()

    assert not _is_refused(KEY, b"", _headers(b"", at=now + skew * 9 // 10))
    assert _is_refused(KEY, b"", _headers(b"", at=now + skew + (skew > 0) * 5))


def test_both_keys_sign_while_a_rotation_overlaps() -> None:
    keys = keys_of(OpenedSecret("crm", OTHER, previous=KEY))
    headers = signature_headers(keys, ID, _now(), b"{}")

    assert len(headers["webhook-signature"].split(" ")) == 2
    assert not _is_refused(KEY, b"{}", headers)
    assert not _is_refused(OTHER, b"{}", headers)
    assert _is_refused("whsec_" + base64.b64encode(b"x" * 24).decode(), b"{}", headers)


@pytest.mark.parametrize("previous", [None, OTHER, "no key", "whsec_"])
def test_one_signature_is_enough_where_there_is_one_key(previous: str | None) -> None:
    assert keys_of(OpenedSecret("crm", OTHER, previous=previous)) == (bytes(range(32)),)


@pytest.mark.parametrize("size", [24, 25, 26, 64])
def test_a_key_may_lack_its_padding(size: int) -> None:
    key = bytes(range(size))
    encoded = base64.b64encode(key).decode()

    assert read_key(f"whsec_{encoded}") == read_key(f"whsec_{encoded.rstrip('=')}") == key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whsec_",
        KEY.removeprefix("whsec_"),
        KEY.upper(),
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        KEY + "\n",
        KEY[:-1] + "-",
        KEY[:-1] + "é",
        KEY + "a",
        "whsk_" + KEY[6:],
    ],
)
def test_what_is_no_key_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(InvalidKey) as refused:
        read_key(text)

    assert "MfKQ9r8" not in str(refused.value)
    assert "openssl rand" in str(refused.value)


@pytest.mark.parametrize("signature", [{}, {"secret": ""}, {"secret": "a b"}, {"key": KEY}, KEY])
def test_a_signature_names_a_secret(signature: Any) -> None:
    with pytest.raises(ValidationError):
        Target.model_validate({"url": "https://app.example.com/", "signature": signature})
