"""Errors: their texts as sentences."""

import re
from pathlib import Path

import pytest

from rota.domain.validation.messages import nearest
from rota.errors import Fault, sentence

#: A stop behind a part that may end with a question: the details of others, and what `nearest` adds.
_STOPPED = re.compile(
    r"\{(?:faults\[0\]\.detail|first\.detail|nearest\([^{}]*\)|_near\([^{}]*\))\}\.\""
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("there is no calendar 'x'", "there is no calendar 'x'."),
        (f"none{nearest('helo', ['hello'])}", "none; did you mean 'hello'?"),
    ],
)
def test_a_sentence_ends_with_one_mark(text: str, expected: str) -> None:
    assert sentence(text) == expected
    assert Fault("/a", text).sentence == f"/a: {expected}"


def test_no_error_has_a_stop_behind_a_question() -> None:
    sources = Path("app/rota").rglob("*.py")
    assert [str(path) for path in sources if _STOPPED.search(path.read_text())] == []
