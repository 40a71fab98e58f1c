"""Encryption: which values open, and which do not."""

import hmac
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from rota.db.encryption import FORMAT, Keyring
from rota.domain.primitives.ids import Id
from rota.errors import Sealed
from tests.support.factories import numbered

ONE, OTHER = numbered(1), numbered(2)
OLD, NEW = bytes(range(32)), bytes(range(32, 64))
SECRET = b'"hunter2-and-more"'


def test_a_sealed_value_opens() -> None:
    ring = Keyring({"k1": OLD})

    sealed = ring.seal(ONE, "a", SECRET)

    assert ring.open("k1", ONE, "a", sealed) == SECRET
    assert SECRET not in sealed
    assert len(sealed) == len(FORMAT) + 12 + len(SECRET) + 16


def test_an_empty_value_is_sealed_too() -> None:
    ring = Keyring({"k1": OLD})

    assert ring.open("k1", ONE, "a", ring.seal(ONE, "a", b"")) == b""


def test_sealing_the_same_value_twice_gives_different_ciphertexts() -> None:
    ring = Keyring({"k1": OLD})

    assert len({ring.seal(ONE, "a", SECRET) for _ in range(100)}) == 100


def test_the_first_key_seals_and_every_key_opens() -> None:
    before = Keyring({"k1": OLD})
    during = Keyring({"k2": NEW, "k1": OLD})

    sealed = before.seal(ONE, "a", SECRET)

    assert during.first == "k2"
    assert during.open("k1", ONE, "a", sealed) == SECRET
    assert Keyring({"k2": NEW}).open("k2", ONE, "a", during.seal(ONE, "a", SECRET)) == SECRET


@pytest.mark.parametrize(("task", "place"), [(OTHER, "a"), (ONE, "b")])
def test_a_value_does_not_open_in_another_place(task: Id, place: str) -> None:
    ring = Keyring({"k1": OLD})
    sealed = ring.seal(ONE, "a", SECRET)

    with pytest.raises(Sealed, match="changed outside Rota"):
        ring.open("k1", task, place, sealed)


@pytest.mark.parametrize("position", [0, 11, 12, -1])
def test_a_value_with_one_changed_bit_does_not_open(position: int) -> None:
    ring = Keyring({"k1": OLD})
    sealed = bytearray(ring.seal(ONE, "a", SECRET))
    sealed[position] ^= 1

    with pytest.raises(Sealed):
        ring.open("k1", ONE, "a", bytes(sealed))


@pytest.mark.parametrize("length", [0, 5, 12, 27])
def test_a_truncated_value_does_not_open(length: int) -> None:
    ring = Keyring({"k1": OLD})

    with pytest.raises(Sealed):
        ring.open("k1", ONE, "a", ring.seal(ONE, "a", SECRET)[:length])


def test_a_missing_key_is_named_with_its_setting() -> None:
    sealed = Keyring({"k1": OLD}).seal(ONE, "a", SECRET)

    with pytest.raises(Sealed, match=r"'k1'.*ROTA_ENCRYPTION_KEYS"):
        Keyring({"k2": NEW}).open("k1", ONE, "a", sealed)


def test_another_key_under_the_same_id_does_not_open() -> None:
    sealed = Keyring({"k1": OLD}).seal(ONE, "a", SECRET)

    with pytest.raises(Sealed, match="another key"):
        Keyring({"k1": NEW}).open("k1", ONE, "a", sealed)


def seal_as_before(key: bytes, task: Id, place: str, plain: bytes) -> bytes:
    """Return a value as the first format has it."""
    derived = hmac.digest(key, b"rota sealed values, version 1" + UUID(task).bytes, "sha256")
    nonce = b"n" * 12
    return nonce + AESGCM(derived).encrypt(nonce, plain, UUID(task).bytes + place.encode())


def test_a_value_of_the_first_format_opens_until_it_is_known_that_there_is_none() -> None:
    ring = Keyring({"k2": NEW, "k1": OLD})
    sealed = seal_as_before(OLD, ONE, "a", SECRET)
    assert ring.open("k1", ONE, "a", sealed, 3, "text/x") == SECRET

    ring.strict = True

    with pytest.raises(Sealed):
        ring.open("k1", ONE, "a", sealed, 3, "text/x")


@pytest.mark.parametrize("beside", [(), (2, "text/x"), (3, "text/y"), (3,), ("3", "text/x")])
def test_a_value_does_not_open_beside_something_else(beside: tuple[int | str, ...]) -> None:
    ring = Keyring({"k1": OLD})
    sealed = ring.seal(ONE, "a", SECRET, 3, "text/x")

    assert ring.open("k1", ONE, "a", sealed, 3, "text/x") == SECRET
    with pytest.raises(Sealed):
        ring.open("k1", ONE, "a", sealed, *beside)


def test_a_value_does_not_open_under_the_id_of_another_key() -> None:
    ring = Keyring({"k1": OLD, "k2": OLD})

    with pytest.raises(Sealed):
        ring.open("k2", ONE, "a", ring.seal(ONE, "a", SECRET))


def test_a_keyring_shows_its_ids_only() -> None:
    assert repr(Keyring({"k2": NEW, "k1": OLD})) == "Keyring(k2, k1)"
