"""Encryption at rest: values are sealed before they are written, and opened after they are read.

AES-256-GCM. Each key of the ring gives each task a key of its own, so that random nonces stay safe for 2^32 writes of
one task. What is sealed is bound to its place: it does not open for another task or another key, nor beside another
version or content type.
"""

import hmac
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from functools import lru_cache
from os import urandom
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection

from rota.domain.primitives.ids import Id
from rota.domain.primitives.texts.sealed import PREFIX, SealedText, key_of
from rota.domain.secrets.opened import OpenedSecret
from rota.errors import Sealed

#: The execution option under which the connections of a database carry its keyring.
OPTION = "rota_keyring"
#: And that under which they carry the named secrets of the environment, by their names.
SECRETS = "rota_secrets"

#: What sealed values begin with; those of the first format begin with their random nonce. Its base64 needs no padding.
FORMAT = b"\0rota-v2\0"

_NONCE = 12
_PURPOSE = b"rota sealed values, version 2"
_FIRST_PURPOSE = b"rota sealed values, version 1"
_DIGESTS = b"rota audit digests, version 1"
_DIGEST_BYTES = 16
_MOST_CIPHERS = 4_096


class Keyring:
    """Keys by their ids: the first one seals, all of them open."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        """Take at least one key, of 32 bytes each."""
        self._keys = dict(keys)
        self.first = next(iter(self._keys))
        #: Nothing is taken that is in plain, or in the first format: it is known that there is none.
        self.strict = False
        self._cipher = lru_cache(_MOST_CIPHERS)(self._derived)

    def __repr__(self) -> str:
        return f"Keyring({', '.join(self._keys)})"

    def __contains__(self, key_id: str) -> bool:
        return key_id in self._keys

    def seal(self, task_id: Id, place: str, plain: bytes, *beside: str | int) -> bytes:
        """Return a value of a task as it is stored, under the first key: format, nonce, ciphertext and tag.

        It opens for the same place only, and `beside` the same.
        """
        nonce = urandom(_NONCE)
        binding = _binding(self.first, task_id, place, beside)
        sealed = self._cipher(self.first, task_id, _PURPOSE).encrypt(nonce, plain, binding)
        return FORMAT + nonce + sealed

    def open(
        self, key_id: str, task_id: Id, place: str, sealed: bytes, *beside: str | int
    ) -> bytes:
        """Return the value that was sealed for this place, beside the same; raises Sealed."""
        if key_id not in self._keys:
            raise missing_key(key_id)
        plain = None
        if sealed.startswith(FORMAT):
            cipher = self._cipher(key_id, task_id, _PURPOSE)
            binding = _binding(key_id, task_id, place, beside)
            plain = _decrypt(cipher, sealed[len(FORMAT) :], binding)
        if plain is None and not self.strict:
            cipher = self._cipher(key_id, task_id, _FIRST_PURPOSE)
            plain = _decrypt(cipher, sealed, UUID(task_id).bytes + place.encode())
        if plain is None:
            raise Sealed(
                f"The stored {place} does not open with the encryption key {key_id!r}: either that is another key than "
                "it was, or the row was changed outside Rota."
            )
        return plain

    def digest(self, place: str, plain: bytes) -> str:
        """Return what two equal values of a place have in common; without the key it confirms no guess of the value."""
        key = hmac.digest(self._keys[self.first], _DIGESTS, "sha256")
        bound = len(place.encode()).to_bytes(4) + place.encode() + plain
        return f"hmac:{self.first}:{hmac.digest(key, bound, 'sha256')[:_DIGEST_BYTES].hex()}"

    def _derived(self, key_id: str, task_id: Id, purpose: bytes) -> AESGCM:
        return AESGCM(hmac.digest(self._keys[key_id], purpose + UUID(task_id).bytes, "sha256"))


def seal_text(keyring: Keyring, task_id: Id, place: str, plain: str) -> SealedText:
    """Return a text of a task sealed with the first key, as a text."""
    sealed = keyring.seal(task_id, place, plain.encode())
    return SealedText(f"{PREFIX}{keyring.first}:{b64encode(sealed).decode()}")


def open_text(connection: Connection, task_id: Id, place: str, text: str) -> str:
    """Return the text that was sealed for this place; raises Sealed."""
    key_id, keyring = key_of(text), keyring_of(connection)
    if keyring is None:
        raise missing_key(key_id)
    try:
        sealed = b64decode(text.removeprefix(f"{PREFIX}{key_id}:"), validate=True)
    except ValueError:
        sealed = b""  # which does not open
    return keyring.open(key_id, task_id, place, sealed).decode()


def keyring_of(connection: Connection) -> Keyring | None:
    """Return the keyring of the connection's database, if it has one."""
    keyring: Keyring | None = connection.get_execution_options().get(OPTION)
    return keyring


def environment_secrets(connection: Connection) -> Mapping[str, OpenedSecret]:
    """Return the named secrets of the environment, by their names."""
    secrets: Mapping[str, OpenedSecret] = connection.get_execution_options().get(SECRETS, {})
    return secrets


def missing_key(*key_ids: str) -> Sealed:
    """Return the error for values that are sealed with keys which are not set."""
    named = " and ".join(repr(each) for each in key_ids)
    return Sealed(
        f"Values are stored that are encrypted with the key {named}, which ROTA_ENCRYPTION_KEYS does not have. Add it "
        "behind the first one."
    )


def not_sealed(place: str) -> Sealed:
    """Return the error for what is in plain where nothing is."""
    return Sealed(
        f"The stored {place} is not encrypted, as all others are: the row was changed outside Rota."
    )


def _decrypt(cipher: AESGCM, sealed: bytes, binding: bytes) -> bytes | None:
    try:
        return cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], binding)
    except (InvalidTag, ValueError):
        return None


def _binding(key_id: str, task_id: Id, place: str, beside: tuple[str | int, ...]) -> bytes:
    return json.dumps([key_id, task_id, place, *beside]).encode()
