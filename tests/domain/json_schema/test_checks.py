"""Checks of values that are made ahead of a commit: what came out is remembered, however long it is."""

import pytest

from rota.domain.json_schema.checks import NotCheckedError, ValueCheck, first_misfit
from rota.domain.primitives.json import json_text

INTEGERS = json_text.canonical({"additionalProperties": {"type": "integer"}})


def test_what_does_not_fit_is_remembered_however_long_its_place_is() -> None:
    value = json_text.dumps(
        {"k" * 140_000: "x", **{f"n{index}": 1 for index in range(20_000)}}
    ).encode()
    check = ValueCheck(INTEGERS, b"a digest", value)
    with pytest.raises(NotCheckedError) as ahead:
        first_misfit([check])

    ahead.value.make()

    found = first_misfit([check])
    assert found is not None
    (misfit,) = found[1][:1]
    assert len(misfit.pointer) <= 1_000
