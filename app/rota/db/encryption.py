"""Encryption at rest: values are sealed before they are written, and opened after they are read.

AES-256-GCM. Each key of the ring gives each task a key of its own, so that random nonces stay safe for 2^32 writes of
one task. What is sealed is bound to its place: it does not open for another task or another key.
"""

import hmac
from collections.abc import Mapping
from functools import lru_cache
from os import urandom
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection

from rota.domain.primitives.ids import Id
from rota.errors import Sealed

#: The execution option under which the connections of a database carry its keyring.
OPTION = "rota_keyring"

_NONCE = 12
_PURPOSE = b"rota sealed values, version 1"
_MOST_CIPHERS = 4_096


class Keyring:
    """Keys by their ids: the first one seals, all of them open."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        """Take at least one key, of 32 bytes each."""
        self._keys = dict(keys)
        self.first = next(iter(self._keys))
        self._cipher = lru_cache(_MOST_CIPHERS)(self._derived)

    def __repr__(self) -> str:
        return f"Keyring({', '.join(self._keys)})"

    def __contains__(self, key_id: str) -> bool:
        return key_id in self._keys

    def seal(self, task_id: Id, place: str, plain: bytes) -> bytes:
        """Return a value of a task as it is stored: nonce, ciphertext and tag, under the first key."""
        nonce = urandom(_NONCE)
        sealed = self._cipher(self.first, task_id).encrypt(nonce, plain, _binding(task_id, place))
        return nonce + sealed

    def open(self, key_id: str, task_id: Id, place: str, sealed: bytes) -> bytes:
        """Return the value that was sealed for this place; raises Sealed."""
        if key_id not in self._keys:
            raise missing_key(key_id)
        cipher = self._cipher(key_id, task_id)
        try:
            return cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], _binding(task_id, place))
        except (InvalidTag, ValueError):
            raise Sealed(
                f"The stored {place} does not open with the encryption key {key_id!r}: either that is another key than "
                "it was, or the row was changed past Rota."
            ) from None

    def _derived(self, key_id: str, task_id: Id) -> AESGCM:
        return AESGCM(hmac.digest(self._keys[key_id], _PURPOSE + UUID(task_id).bytes, "sha256"))


def keyring_of(connection: Connection) -> Keyring | None:
    """Return the keyring of the connection's database, if it has one."""
    keyring: Keyring | None = connection.get_execution_options().get(OPTION)
    return keyring


def missing_key(*key_ids: str) -> Sealed:
    """Return the error for values that are sealed with keys which are not set."""
    named = " and ".join(repr(each) for each in key_ids)
    return Sealed(
        f"Values are stored that are encrypted with the key {named}, which ROTA_ENCRYPTION_KEYS does not have. Add it "
        "behind the first one."
    )


def _binding(task_id: Id, place: str) -> bytes:
    return UUID(task_id).bytes + place.encode()
