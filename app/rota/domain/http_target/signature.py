"""Signatures of requests, by Standard Webhooks 1.0.0: the key proves that a request is Rota's, and unchanged.

What is signed is `id.timestamp.body`, over exactly the bytes of the body that are sent. The id is that of the run, the
same for each of its attempts, so that a receiver can recognise a repeated one; the timestamp is that of the attempt.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from contextlib import suppress

from pydantic import BaseModel, ConfigDict, Field

from rota.domain.secrets.names import SecretName
from rota.domain.secrets.opened import OpenedSecret

#: What the text of a symmetric key begins with.
KEY_PREFIX = "whsec_"
#: The least and the most bytes that a key has.
KEY_BYTES = (24, 64)


class InvalidKey(ValueError):
    """A text is no signing key; the message says what one looks like, and has nothing of the text."""


class Signature(BaseModel):
    """That requests are signed, and with which key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    secret: SecretName = Field(
        description="The name of a named secret that holds the key: `whsec_` and the base64 of 24 to 64 random bytes. "
        "While a rotation of it overlaps, requests carry two signatures, by the new key and by the old one.",
        examples=["crm_signing"],
    )


def read_key(text: str) -> bytes:
    """Return the bytes of a signing key, whose base64 may lack its padding; raises InvalidKey."""
    least, most = KEY_BYTES
    encoded = text.removeprefix(KEY_PREFIX)
    if encoded != text:
        try:
            key = base64.b64decode(
                encoded.rstrip("=") + "=" * (-len(encoded.rstrip("=")) % 4), validate=True
            )
        except (binascii.Error, ValueError):  # ValueError: it is not ASCII
            key = b""
        if least <= len(key) <= most:
            return key
    raise InvalidKey(
        f"a signing key is '{KEY_PREFIX}' and the base64 of {least} to {most} random bytes: "
        f'echo "{KEY_PREFIX}$(openssl rand -base64 32)"'
    )


def keys_of(secret: OpenedSecret) -> tuple[bytes, ...]:
    """Return the keys that requests are signed with: the present one, and the one before while a rotation overlaps.

    Raises InvalidKey for the present one. One before that is no key has signed nothing, and is left out.
    """
    keys = [read_key(secret.value)]
    if secret.previous is not None:
        with suppress(InvalidKey):
            keys.append(read_key(secret.previous))
    return tuple(dict.fromkeys(keys))


def signature_headers(
    keys: Sequence[bytes], id: str, timestamp: int, body: bytes
) -> dict[str, str]:
    """Return the headers that sign a body: `timestamp` in seconds since 1970."""
    content = f"{id}.{timestamp}.".encode() + body
    return {
        "webhook-id": id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(_signed(key, content) for key in keys),
    }


def _signed(key: bytes, content: bytes) -> str:
    digest = hmac.new(key, content, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"
