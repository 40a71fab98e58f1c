"""Watching a key-value table: what is watched, and how far a watcher has been told."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.ids import Id, to_id
from app.domain.names import KEY_PREFIX_PATTERN, READABLE_KEY_PATTERN
from app.errors import Fault, Invalid

#: How many keys, and beginnings of keys, one may watch: each is looked for at each change.
MOST_PATTERNS = 100

_ALL = "*"
_KEY = re.compile(READABLE_KEY_PATTERN)
_PREFIX = re.compile(KEY_PREFIX_PATTERN)


@dataclass(frozen=True, slots=True)
class Watched:
    """Keys, and prefixes of keys; every key, if there are neither."""

    keys: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Position:
    """How far a watcher has been told: the changes of `revision` up to `key` (None: all of them), and all earlier ones.

    `task_id` says of which table: another task may get the same name.
    """

    task_id: Id
    revision: int
    key: str | None = None

    def __str__(self) -> str:
        told = f"{self.task_id}.{self.revision}"
        return told if self.key is None else f"{told}.{self.key}"


def read_watched(patterns: Sequence[str]) -> Watched:
    """Return what patterns (a key, or a prefix and `*`) watch: everything, if there are none. Raises Invalid."""
    keys = tuple(each for each in patterns if not each.endswith(_ALL))
    prefixes = tuple(each.removesuffix(_ALL) for each in patterns if each.endswith(_ALL))
    if not all(map(_KEY.fullmatch, keys)) or not all(map(_PREFIX.fullmatch, prefixes)):
        raise _wrong("give keys, or beginnings of keys with a '*' behind them")
    if len(patterns) > MOST_PATTERNS:
        raise _wrong(
            f"{len(patterns):,} keys and beginnings are too many: give at most {MOST_PATTERNS}, or '*' for all keys"
        )
    return Watched() if "" in prefixes else Watched(keys, prefixes)


def _wrong(detail: str) -> Invalid:
    return Invalid(f"watch: {detail}.", Fault("", detail, "watch"), slug="invalid-filter")


def read_position(id: str | None) -> Position | None:
    """Return the position that the id of an event (or an entry's ETag) stands for; raises Invalid if it is neither."""
    if not id:
        return None
    task, _, rest = id.strip('"').partition(".")
    revision, dot, key = rest.partition(".")
    is_key = not dot or _KEY.fullmatch(key) is not None
    if revision.isascii() and revision.isdigit() and len(revision) <= 18 and is_key:
        try:
            return Position(to_id(task), int(revision), key if dot else None)
        except ValueError:
            pass
    raise Invalid(
        "Last-Event-ID: this is not the id of an event of a table.",
        Fault("", "give the id of the last event that you were told, or none", "Last-Event-ID"),
        slug="invalid-header",
    )
