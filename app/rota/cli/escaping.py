"""Texts from a service are untrusted: what would move the cursor or change colours is shown as an escape."""

import json
import unicodedata

#: Kinds of characters that do not show, or change how others show.
_UNPRINTABLE = {"Cc", "Cf", "Zl", "Zp", "Cs"}


def printable(text: str, *, lines: bool = False) -> str:
    """Return a text in which what does not show is escaped; `lines`: but not ends of lines and tabs."""
    kept = "\n\t" if lines else ""
    return "".join(
        each if each in kept or not is_unprintable(each) else _escaped(each) for each in text
    )


def is_unprintable(character: str) -> bool:
    """Return whether a character does not show, or changes how others show."""
    return unicodedata.category(character) in _UNPRINTABLE


def _escaped(character: str) -> str:
    code = ord(character)
    if code > 0xFFFF:
        return f"\\U{code:08x}"
    return json.dumps(character)[1:-1] if code < 0x7F else f"\\u{code:04x}"
