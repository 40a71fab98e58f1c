"""How large a regular expression becomes when what it repeats is written out: `[ab]{2000}` has 2,000 characters."""

import re
from typing import Final

_ATOM = re.compile(r"\\[pP]\{[^}]*\}|\\.|\[(?:\\.|[^\]\\])*\]?|.", re.DOTALL)
_REPEAT = re.compile(r"\{(\d{0,9})(?:,(\d{0,9}))?\}")
#: More is treated like this.
LARGEST: Final = 1_000_000_000


def pattern_size(pattern: str) -> int:
    """Return how many characters a pattern has with what it repeats written out, or more than these."""
    # Of each group that is open: how large it is, and how large its last part is, which a repetition is of.
    groups = [(0, 0)]
    at = 0
    while at < len(pattern):
        repeat = _REPEAT.match(pattern, at)
        if repeat is not None:
            whole, last = groups.pop()
            times = max(int(each or 0) for each in repeat.groups(default="0"))
            groups.append((min(whole + last * max(times - 1, 0), LARGEST), last * max(times, 1)))
            at = repeat.end()
            continue
        atom = _ATOM.match(pattern, at)
        assert atom is not None  # it takes any character
        at = atom.end()
        _add(groups, atom[0])
    return min(sum(whole for whole, _ in groups), LARGEST)


def _add(groups: list[tuple[int, int]], atom: str) -> None:
    if atom == "(":
        groups.append((1, 0))
        return
    size = 1
    if atom == ")" and len(groups) > 1:
        size, _ = groups.pop()
    whole, last = groups.pop()
    groups.append((min(whole + size, LARGEST), last if atom in "*+?" else size))
