"""What a run has changed in the kv, line by line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from typing import Any, Final

from rota.web.formats import pretty_json, short

#: Longer values are shown by their beginnings: to compare them line by line takes too long.
_MOST_COMPARED: Final = 20_000
_MOST_SHOWN: Final = 400
_HEADER: Final = 2
_CONTEXT: Final = 3
_CLASSES: Final = {"+": "added", "-": "removed", "@": "place"}


@dataclass(frozen=True, slots=True)
class KvDiff:
    """A change of an entry: what kind it is, and its lines with the class of each."""

    key: str
    kind: str
    lines: Sequence[tuple[str, str]]


def diff_of(change: Mapping[str, Any]) -> KvDiff:
    """Return a change of the API as lines that were added and removed."""
    before, after = change["before"], change["after"]
    if not change["before_is_known"]:
        kind = "written; what it was before is not known any more"
    elif after is None:
        kind = "removed"
    else:
        kind = "new" if before is None else "changed"
    return KvDiff(change["key"], kind, _lines(_text(before), _text(after)))


def _lines(before: str, after: str) -> list[tuple[str, str]]:
    if len(before) + len(after) > _MOST_COMPARED:
        shown = [f"-{short(before, _MOST_SHOWN)}", f"+{short(after, _MOST_SHOWN)}"]
    else:
        pair = before.splitlines(), after.splitlines()
        shown = list(unified_diff(*pair, lineterm="", n=_CONTEXT))[_HEADER:]
    lines = [
        each for each in shown if not each.startswith("@@ -0,0") and not each.startswith("@@ -1 ")
    ]
    return [(_CLASSES.get(each[:1], "same"), each) for each in lines]


def _text(entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return ""
    if "unreadable" in entry:
        return "a value that cannot be read"
    if entry.get("encoding"):
        return f"{entry['content_type']}, as base64: {short(entry['value'], _MOST_SHOWN)}"
    return pretty_json(entry["value"])
