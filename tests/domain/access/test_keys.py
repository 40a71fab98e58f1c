"""The text of a key: what is made is read again, and an error in it is noticed."""

import string
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.domain.access.keys import ApiKey, KeyId, is_meant_as_key, new_key, new_key_id, parse_key

LETTERS = string.ascii_letters + string.digits


def key_of(seed: int) -> ApiKey:
    choose = Random(seed).choice
    return new_key(new_key_id(choose), choose)


keys = st.integers(0, 2**64).map(key_of)


@given(keys)
def test_a_key_that_was_made_is_read(key: ApiKey) -> None:
    assert parse_key(key.text) == key
    assert is_meant_as_key(key.text)
    assert len(key.text) == len("rota_") + 12 + 1 + 43 + 6


@given(keys, st.data())
def test_one_wrong_character_is_noticed(key: ApiKey, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(key.text) - 1))
    other = data.draw(st.sampled_from(LETTERS + "_-").filter(lambda each: each != key.text[at]))

    assert parse_key(key.text[:at] + other + key.text[at + 1 :]) is None


@given(keys, st.data())
def test_two_characters_in_the_wrong_order_are_noticed(key: ApiKey, data: st.DataObject) -> None:
    text = key.text
    at = data.draw(
        st.integers(0, len(text) - 2).filter(lambda index: text[index] != text[index + 1])
    )

    assert parse_key(text[:at] + text[at + 1] + text[at] + text[at + 2 :]) is None


@given(keys, st.integers(0, 80), st.text(max_size=3))
def test_a_key_that_is_cut_off_or_longer_is_noticed(key: ApiKey, length: int, more: str) -> None:
    cut = key.text[:length] + more

    assert parse_key(cut) == (key if cut == key.text else None)


@given(st.text())
def test_other_texts_are_no_keys(text: str) -> None:
    assert parse_key(text) is None
    assert parse_key(f"rota_{text}") is None


@given(keys, st.sampled_from(["\n", " ", "\x00", "é"]))
def test_nothing_may_stand_beside_a_key(key: ApiKey, beside: str) -> None:
    assert parse_key(key.text + beside) is None
    assert parse_key(beside + key.text) is None


def test_keys_are_random() -> None:
    made = [new_key(new_key_id()) for _ in range(1_000)]

    assert len({key.id for key in made}) == len({key.secret for key in made}) == 1_000
    assert {letter for key in made for letter in key.secret} == set(LETTERS)


def test_the_secret_is_not_in_what_is_printed_of_a_key() -> None:
    key = key_of(1)

    assert key.secret not in repr(key)


def test_the_form_of_a_key_stays() -> None:
    """Keys are in the hands of clients: they would be refused if it was another one."""
    text = "rota_abcdefghijkl_00000000000000000000000000000000000000000003o3uB9"

    key = parse_key(text)

    assert key == ApiKey(KeyId("abcdefghijkl"), "0" * 43)
    assert key.text == text
    digest = "b918b22a1581fedd39058065f00e6aad35bd561f20257151131a1ddcd21803de"
    assert key.digest.hex() == digest


@pytest.mark.parametrize("length", [10_000, 1_000_000])
def test_a_long_text_is_refused_at_once(length: int) -> None:
    assert parse_key("rota_" + "a" * length) is None
