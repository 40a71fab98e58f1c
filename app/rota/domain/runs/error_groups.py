"""Groups of failures: messages that differ in numbers and ids only are one message. Pure.

Those of calls over HTTP are told apart by the status and the host, which are numbers too.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from rota.domain.primitives.ids import Id

#: How many characters of a message are compared.
MOST_OF_A_MESSAGE = 200
_READ = 1_000
#: How many tasks a group names.
MOST_TASKS = 10

# Each part of a match is bounded by what it begins or ends with, so that the time is linear.
_VARIABLE = re.compile(
    r"""
    (?<![0-9A-Za-z])[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![0-9A-Za-z])
    | (?<![0-9A-Za-z])(?:0[xX][0-9a-fA-F]+|[0-9a-fA-F]{8,})(?![0-9A-Za-z])
    | [0-9]+(?:[.,:][0-9]+)*
    """,
    re.VERBOSE,
)

#: The types of errors whose messages consist of what tells them apart: the status, and whose it is.
COMPARED_WHOLE: Final = frozenset({"http.status", "http.timeout", "http.circuit", "http.host"})


class GroupBy(StrEnum):
    """What the failures of one group have in common."""

    ERROR = "error"  # the type and the message
    TASK = "task"
    REASON = "reason"


class Failure(NamedTuple):
    """A failed run, as it is grouped."""

    run_id: Id
    task: str
    reason: str | None
    type: str
    message: str
    finished_at: datetime


class GroupKey(NamedTuple):
    """What a group has in common; None: it is not grouped by that."""

    type: str | None = None
    message: str | None = None
    task: str | None = None
    reason: str | None = None


@dataclass(slots=True)
class FailureGroup:
    """Failures with something in common."""

    key: GroupKey
    #: The latest run.
    example: Id
    first_seen: datetime
    last_seen: datetime
    tasks: Counter[str] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        """How many runs have failed so."""
        return self.tasks.total()


def normalised(message: str) -> str:
    """Return a message in one line without what varies: numbers, ids, hexadecimal digits; cut to a length.

    What it returns stays as it is when it is normalised again.
    """
    return _cut(_VARIABLE.sub(_placeholder, _one_line(message)))


def compared(failure: Failure) -> str:
    """Return what of a failure's message is compared with others of its type."""
    if failure.type in COMPARED_WHOLE:
        return _cut(_one_line(failure.message))
    return normalised(failure.message)


def grouped(failures: Iterable[Failure], by: Collection[GroupBy]) -> Sequence[FailureGroup]:
    """Return failures in groups, the largest first, then the one seen last, then by what they have in common."""
    groups: dict[GroupKey, FailureGroup] = {}
    texts: dict[tuple[str, str], str] = {}
    for each in failures:
        error = (each.type, each.message)
        if error not in texts:
            texts[error] = compared(each)
        _add(groups, each, _key(each, texts[error], by))
    order = sorted(groups.values(), key=lambda group: [part or "" for part in group.key])
    order.sort(key=lambda group: (group.count, group.last_seen), reverse=True)
    return order


def _one_line(message: str) -> str:
    return " ".join(message[:_READ].split())


def _cut(text: str) -> str:
    return text if len(text) <= MOST_OF_A_MESSAGE else text[: MOST_OF_A_MESSAGE - 1] + "…"


def _placeholder(found: re.Match[str]) -> str:
    text = found[0]
    # Without a digit it is a word; then what is returned has no digits, so that nothing of it is found again.
    if not any(character in "0123456789" for character in text):
        return text
    if "-" in text:
        return "<id>"
    return "<n>" if all(character in "0123456789.,:" for character in text) else "<hex>"


def _key(of: Failure, message: str, by: Collection[GroupBy]) -> GroupKey:
    by_error = GroupBy.ERROR in by
    return GroupKey(
        type=of.type if by_error else None,
        message=message if by_error else None,
        task=of.task if GroupBy.TASK in by else None,
        reason=of.reason if GroupBy.REASON in by else None,
    )


def _add(groups: dict[GroupKey, FailureGroup], of: Failure, key: GroupKey) -> None:
    group = groups.get(key)
    if group is None:
        group = groups[key] = FailureGroup(key, of.run_id, of.finished_at, of.finished_at)
    group.tasks[of.task] += 1
    group.first_seen = min(group.first_seen, of.finished_at)
    if of.finished_at > group.last_seen:
        group.example, group.last_seen = of.run_id, of.finished_at
