"""Positions in the streams of events and of kv changes: what a client has received."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rota.domain.primitives.ids import Id, to_id
from rota.domain.primitives.texts.names import KEY_PREFIX_PATTERN, READABLE_KEY_PATTERN
from rota.errors import Fault, Invalid

_LONGEST = 18


@dataclass(frozen=True, slots=True, order=True)
class EventPosition:
    """A commit (ordered by `xid`, `id`), and how many of its events were sent; `sent` None: all of them."""

    xid: int = 0
    id: int = 0
    sent: int | None = None

    def __str__(self) -> str:
        at = f"{self.xid}-{self.id}"
        return at if self.sent is None else f"{at}-{self.sent}"

    @property
    def commit(self) -> tuple[int, int]:
        return self.xid, self.id


def parse_event_position(id: str | None) -> EventPosition | None:
    """Return the position for the id of an event, None for no id; raises Invalid."""
    if not id:
        return None
    parts = id.split("-")
    if len(parts) not in {2, 3} or not all(map(_is_number, parts)):
        raise Invalid(
            "Last-Event-ID: this is not the id of an event.",
            Fault("", "give the id of the last event that you received, or none", "Last-Event-ID"),
            slug="invalid-header",
        )
    xid, commit, *sent = map(int, parts)
    return EventPosition(xid, commit, sent[0] if sent else None)


def _is_number(part: str) -> bool:
    return part.isascii() and part.isdigit() and len(part) <= _LONGEST


#: How many keys and prefixes of keys a client may watch: each is compared at each change.
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
class KvPosition:
    """What a watcher has received: the changes of `revision` up to `key` (None: all of them), and all earlier ones.

    `task_id` identifies the table: another task may get the same name later.
    """

    task_id: Id
    revision: int
    key: str | None = None

    def __str__(self) -> str:
        at = f"{self.task_id}.{self.revision}"
        return at if self.key is None else f"{at}.{self.key}"


def parse_watched(patterns: Sequence[str]) -> Watched:
    """Return what patterns (a key, or a prefix and `*`) watch: everything, if there are none. Raises Invalid."""
    keys = tuple(each for each in patterns if not each.endswith(_ALL))
    prefixes = tuple(each.removesuffix(_ALL) for each in patterns if each.endswith(_ALL))
    if not all(map(_KEY.fullmatch, keys)) or not all(map(_PREFIX.fullmatch, prefixes)):
        raise _wrong("give keys, or prefixes of keys with a '*' behind them")
    if len(patterns) > MOST_PATTERNS:
        raise _wrong(
            f"{len(patterns):,} keys and prefixes are too many: give at most {MOST_PATTERNS}, or '*' for all keys"
        )
    return Watched() if "" in prefixes else Watched(keys, prefixes)


def _wrong(detail: str) -> Invalid:
    return Invalid(f"watch: {detail}.", Fault("", detail, "watch"), slug="invalid-filter")


def parse_kv_position(id: str | None) -> KvPosition | None:
    """Return the position for the id of an event or the ETag of an entry, None for no id; raises Invalid."""
    if not id:
        return None
    task, _, rest = id.strip('"').partition(".")
    revision, dot, key = rest.partition(".")
    is_key = not dot or _KEY.fullmatch(key) is not None
    if revision.isascii() and revision.isdigit() and len(revision) <= 18 and is_key:
        try:
            return KvPosition(to_id(task), int(revision), key if dot else None)
        except ValueError:
            pass
    raise Invalid(
        "Last-Event-ID: this is not the id of an event of a table.",
        Fault("", "give the id of the last event that you received, or none", "Last-Event-ID"),
        slug="invalid-header",
    )
