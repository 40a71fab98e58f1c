"""Names of time zones: suggestions for unknown ones, and names with a reversed offset."""

import re
from collections.abc import Set as AbstractSet
from difflib import get_close_matches

_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])0?(\d{1,2})(?::?00)?", re.ASCII | re.IGNORECASE)
_ETC_OFFSET = re.compile(r"(?:Etc/)?GMT([+-])([1-9]\d?)", re.ASCII)
_OF_THE_MACHINE = {
    "localtime": "'localtime' is whatever the machine is set to",
    "posixrules": "'posixrules' is a file of the machine",
    "Factory": "'Factory' is what a machine has whose zone was never set",
}
_FOLDERS = ("posix/", "right/", "posix/right/", "/usr/share/zoneinfo/", ":")
_LONGEST, _SHORTEST_GUESSED = 40, 5
_ALIKE = 0.8


def nearest(name: str, names: AbstractSet[str]) -> str | None:
    """Return a suggestion for a name that is not in `names`, as a remark in brackets; None: no suggestion."""
    if name in _OF_THE_MACHINE:
        return f"{_OF_THE_MACHINE[name]}: name the zone that you mean"
    offset = _of_offset(name)
    if offset == "UTC":
        return "write 'UTC'"
    if offset in names:
        return f"write {offset!r} for this offset: its sign is turned round"
    found = _meant(_without_folder(name), names)
    return None if found is None else f"did you mean {found!r}?"


def actual_offset(name: str) -> str | None:
    """Return the offset from UTC of a zone such as `Etc/GMT+2`, which is the opposite of what it seems to say."""
    match = _ETC_OFFSET.fullmatch(name)
    return None if match is None else f"UTC{'-' if match[1] == '+' else '+'}{match[2]}"


def opposite(name: str) -> str:
    """Return the zone on the other side of Greenwich of one such as `Etc/GMT+2`."""
    return name.translate(str.maketrans("+-", "-+"))


def _of_offset(name: str) -> str | None:
    match = _OFFSET.fullmatch(name)
    if match is None:
        return None
    hours = int(match[2])
    return f"Etc/GMT{'-' if match[1] == '+' else '+'}{hours}" if hours else "UTC"


def _without_folder(name: str) -> str:
    for folder in sorted(_FOLDERS, key=len, reverse=True):
        name = name.removeprefix(folder)
    return name


def _meant(name: str, names: AbstractSet[str]) -> str | None:
    if len(name) > _LONGEST:
        return None
    written = _folded(name)
    if written == "z":
        return "UTC"
    whole = {_folded(each): each for each in sorted(names, reverse=True)}
    places = {_folded(each.rpartition("/")[2]): each for each in sorted(names, reverse=True)}
    for among in (whole, places):
        if written in among:
            return among[written]
    if len(written) < _SHORTEST_GUESSED:  # abbreviations: all of them are alike
        return None
    for among in (whole, places):
        if alike := get_close_matches(written, among, n=1, cutoff=_ALIKE):
            return among[alike[0]]
    return None


def _folded(name: str) -> str:
    return re.sub(r"[\s_-]+", "_", name.strip().casefold()).replace("_/_", "/")
