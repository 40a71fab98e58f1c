"""What differs between two values, line by line."""

from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import NamedTuple

#: Values with more lines are not compared: that would take too long.
MOST_LINES = 2_000
_AROUND = 3


class Line(NamedTuple):
    """A line of a comparison: `sign` is `+` for a new one, `-` for one that is gone, `…` for what is left out."""

    sign: str
    text: str

    @property
    def tone(self) -> str:
        """The class of the line."""
        return {"+": "added", "-": "gone"}.get(self.sign, "same")


def compare(old: str, new: str) -> list[Line] | None:
    """Return the lines that differ, with a few of those around them; None for values that are too long."""
    before, after = old.splitlines(), new.splitlines()
    if max(len(before), len(after)) > MOST_LINES:
        return None
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    return list(_lines(matcher, before, after))


def _lines(matcher: SequenceMatcher[str], before: list[str], after: list[str]) -> Iterator[Line]:
    for number, group in enumerate(matcher.get_grouped_opcodes(_AROUND)):
        if number:
            yield Line("…", "")
        for kind, first, last, start, end in group:
            if kind == "equal":
                yield from (Line(" ", each) for each in before[first:last])
            else:
                yield from (Line("-", each) for each in before[first:last])
                yield from (Line("+", each) for each in after[start:end])
