"""Which secrets of a stored key are accepted, and until when."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rota.domain.access import stored_key
from rota.domain.access.stored_key import KeyStatus, prove
from tests.domain.access.keys import stored

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
MOMENT = timedelta(milliseconds=1)
PRESENT, BEFORE, OTHER = b"d" * 32, b"p" * 32, b"o" * 32
ROTATED = {"previous_digest": BEFORE, "previous_until": NOW}


@pytest.mark.parametrize(
    ("fields", "at", "status"),
    [
        ({}, NOW, KeyStatus.ACTIVE),
        ({"expires_at": NOW}, NOW - MOMENT, KeyStatus.ACTIVE),
        ({"expires_at": NOW}, NOW, KeyStatus.EXPIRED),
        ({"revoked_at": NOW}, NOW - MOMENT, KeyStatus.REVOKED),
        ({"revoked_at": NOW, "expires_at": NOW}, NOW, KeyStatus.REVOKED),
    ],
)
def test_a_key_is_accepted_until_it_is_revoked_or_expires(
    fields: dict[str, Any], at: datetime, status: KeyStatus
) -> None:
    assert stored(**fields).status(at) is status


@pytest.mark.parametrize(
    ("fields", "digest", "at", "word"),
    [
        ({}, PRESENT, NOW, None),
        (ROTATED, PRESENT, NOW, None),
        (ROTATED, BEFORE, NOW - MOMENT, None),
        (ROTATED, BEFORE, NOW, "rotated"),
        ({"expires_at": NOW}, PRESENT, NOW, "expired"),
        ({"revoked_at": NOW}, PRESENT, NOW, "revoked"),
        (ROTATED | {"revoked_at": NOW}, BEFORE, NOW, "revoked"),
    ],
)
def test_who_has_the_secret_gets_the_reason_of_the_refusal(
    fields: dict[str, Any], digest: bytes, at: datetime, word: str | None
) -> None:
    proof = prove(stored(**fields), digest)

    assert proof is not None
    fault = proof.fault(at)
    assert (fault is None) if word is None else (word in str(fault))


@pytest.mark.parametrize("fields", [{}, ROTATED, {"revoked_at": NOW}])
@pytest.mark.parametrize("digest", [OTHER, b"", bytes(32)])
def test_who_has_no_secret_of_the_key_gets_no_reason(fields: dict[str, Any], digest: bytes) -> None:
    assert prove(stored(**fields), digest) is None


def test_an_unknown_key_is_compared_as_often_as_a_known_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[int] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(len(one))
        return one == other

    monkeypatch.setattr(stored_key, "compare_digest", compare)
    counts = []
    for key in (None, stored(), stored(**ROTATED), stored(digest=OTHER)):
        prove(key, PRESENT)
        counts.append(tuple(compared))
        compared.clear()
    assert set(counts) == {(32, 32)}


def test_no_digest_fits_an_unknown_key() -> None:
    assert prove(None, bytes(32)) is None
