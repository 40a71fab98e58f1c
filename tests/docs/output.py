"""What a command prints, compared with what a page shows: ids and times are left out, `…` stands for anything."""

import json
import re
from typing import Any

_RULES = [
    # Longer patterns come first.
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "ID"),
    (r"\b[0-9a-f]{32,64}\b", "ID"),
    (r"\brk_[\w.-]+", "KEY"),
    (
        r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?( ?(Z\b|UTC\b|CES?T\b|[+-]\d\d:?\d\d))?(\[[\w/]+\])?",
        "TIME",
    ),
    (r"\d{4}-\d\d-\d\d", "DATE"),
    (r"\b\d\d:\d\d:\d\d(\.\d+)?( UTC)?", "TIME"),
    (
        (
            r"\b(in|after|for) [\d.]+ ?[a-zµ]+( [\d.]+ ?[a-z]+)?\b"
            r"|\b(?:\d+(?:\.\d+)? ?[a-z]+ ?)+ago\b|\bjust now\b|\bnow\b"
        ),
        "WHEN",
    ),
    (r"\b\d+(\.\d+)? ?[mµ]s\b|\b\d+\.\d+ ?s(econds)?\b", "DURATION"),
    (r'(?<="lateness")(: ?)[\d.]+', ":0"),
    (r'(?<="duration")(: ?)[\d.]+', ":0"),
    (r'(?<="next_cursor")(: ?)"[\w-]+"', ":CURSOR"),
    (r"\bRota \d+\.\d+\.\d+\w*", "Rota VERSION"),
    (r"\bpid \d+", "pid N"),
]
_MASKS = [(re.compile(pattern), mask) for pattern, mask in _RULES]
_LEFT_OUT = {"lateness", "duration", "next_cursor"}
_ANY_LINES = re.compile(r"[ \t]*(…|\.\.\.)[ \t]*")


def masked(text: str) -> str:
    """Return a text in which all that differs from one time to the next is the same."""
    for pattern, mask in _MASKS:
        text = pattern.sub(mask, text)
    return text


def agrees(shown: str, printed: str) -> bool:
    """Return whether a command has printed what the page shows."""
    if (expected := _parsed(shown)) is not None:
        return expected == _parsed(printed)
    if shown.lstrip().startswith(("{", "[")):
        return _matches(" ".join(shown.split()), " ".join(printed.split()), re.DOTALL)
    return _matches(_lines(shown), _lines(printed))


def _matches(shown: str, printed: str, flags: int = 0) -> bool:
    parts = []
    # What is left out may be the time after one of these words.
    shown = re.sub(r"\b(?:in|after|for) …", "…", shown)
    for line in masked(shown).split("\n"):
        if _ANY_LINES.fullmatch(line):
            parts.append(r"(?:[^\n]*\n)*?")
        else:
            parts.append(".*?".join(map(re.escape, line.split("…"))) + r"\n")
    return re.fullmatch("".join(parts), masked(printed) + "\n", flags) is not None


def _lines(text: str) -> str:
    """Return the lines that are not empty, with single spaces: the width of a column depends on its content."""
    lines = (" ".join(re.sub(r"[─━═]+", "─", line).split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


def _parsed(text: str) -> Any:
    """Return masked JSON, None if it is none."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return _masked_json(found)


def _masked_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: None if key in _LEFT_OUT else _masked_json(each) for key, each in value.items()
        }
    if isinstance(value, list):
        return [_masked_json(each) for each in value]
    return masked(value) if isinstance(value, str) else value
