"""Commands of clients with their entry in the audit log, which is written in the same commit.

What the command changes is read before and after it, in its transaction; one that changes nothing leaves no entry.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, ClassVar, Generic

from sqlalchemy import Connection, insert

from rota.db.bulk import Bulk
from rota.db.command import Command, R, Transaction
from rota.db.encryption import keyring_of
from rota.db.tables import audit
from rota.domain.audit.actions import Action, Kind
from rota.domain.audit.author import Author
from rota.domain.audit.changes import Change, Digest, Hidden, difference, shown
from rota.domain.primitives.ids import new_id
from rota.domain.primitives.json import json_text
from rota.store.audit.registrations import AuditedChange
from rota.store.audit.subjects import States, Subjects

# Of these the name is the name of a task.
_OF_TASK = frozenset({Kind.TASK, Kind.KV})
_INSERT = Bulk(insert(audit), [column.name for column in audit.columns], apart=True)
# Rows that are made and inserted together: while more are made, PostgreSQL could take the writer for dead.
_AT_A_TIME = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a command has made or asked for, which was not there before: a run, a backfill."""

    kind: Kind
    name: str
    task: str | None = None
    after: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited(Command[R], Generic[R]):
    """Execute a command, and record what it has changed. Raises what the command raises, and nothing is recorded then.

    `subjects` are compared before and after; by what `changes_of` returns of the result, if that is given, and else
    they are read. `made` returns what is recorded of the result besides.
    """

    command: Command[R]
    author: Author
    action: Action
    subjects: Subjects | None = None
    changes_of: Callable[[Transaction, R], Iterable[AuditedChange]] | None = None
    made: Callable[[R], Iterable[Made]] | None = None
    #: Reported with each entry.
    details: Mapping[str, Any] | None = None

    @classmethod
    def apply_all(cls, tx: Transaction, commands: Sequence[Any]) -> list[Any]:
        results: list[Any] = []
        for together in _without_repetitions(tx, commands):
            results += _apply(tx, together)
        return results


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedTogether(Audited[R], Generic[R]):
    """The same for frequent commands, which are applied together."""

    batched: ClassVar[bool] = True


def audited(command: Command[R], **entry: Any) -> Audited[R]:
    """Return a command with its entry: the fields of `Audited`."""
    kind = AuditedTogether if command.batched else Audited
    return kind(command=command, **entry)


@dataclass(frozen=True, slots=True)
class _Watched:
    """A command, and the subjects that it may change, by their names."""

    audited: Audited[Any]
    subjects: Subjects | None

    @classmethod
    def of(cls, tx: Transaction, command: Audited[Any]) -> "_Watched":
        subjects = command.subjects
        return cls(command, None if subjects is None else subjects.fixed(tx.connection))

    @property
    def types(self) -> tuple[object, ...]:
        """What it can be applied and read together with."""
        return type(self.audited.command), type(self.subjects), self.audited.changes_of

    @property
    def read(self) -> Subjects | None:
        """What is read before and after it."""
        return None if self.audited.changes_of is not None else self.subjects

    @property
    def names(self) -> frozenset[str]:
        return frozenset() if self.subjects is None else frozenset(self.subjects.each)


def _without_repetitions(
    tx: Transaction, commands: Sequence[Audited[Any]]
) -> Iterator[list[_Watched]]:
    """Yield commands of one kind with no subject in common, in their order: each has its own before and after."""
    together: list[_Watched] = []
    seen: set[str] = set()
    for command in commands:
        watched = _Watched.of(tx, command)
        if together and (watched.types != together[0].types or watched.names & seen):
            yield together
            together, seen = [], set()
        together.append(watched)
        seen |= watched.names
    yield together


def _apply(tx: Transaction, watched: Sequence[_Watched]) -> list[Any]:
    before = _read(tx, watched, lock=True)
    commands = [each.audited.command for each in watched]
    results = list(type(commands[0]).apply_all(tx, commands))
    after = _read(tx, watched, lock=False)
    rows = (
        row
        for each, result, old, new in zip(watched, results, before, after, strict=True)
        if not isinstance(result, Exception)
        for row in _rows_of(tx, each.audited, result, _states(tx, each.audited, result, old, new))
    )
    while some := list(islice(rows, _AT_A_TIME)):
        _INSERT.execute(tx.connection, some)
    return results


def _states(
    tx: Transaction, command: Audited[Any], result: Any, before: States, after: States
) -> Iterable[AuditedChange]:
    """Return the subjects of a command before and after it: by its own account, or as they were read."""
    if command.changes_of is not None:
        return command.changes_of(tx, result)
    return (AuditedChange(name, before.get(name), after.get(name)) for name in before | after)


def _read(tx: Transaction, watched: Sequence[_Watched], *, lock: bool) -> list[States]:
    subjects = [each.read for each in watched if each.read is not None]
    if not subjects:
        return [{} for _ in watched]
    return type(subjects[0]).read(tx, subjects, lock=lock)


def _rows_of(
    tx: Transaction, command: Audited[Any], result: Any, states: Iterable[AuditedChange]
) -> Iterator[dict[str, Any]]:
    """Yield a row for each subject that has changed, and for each that was made."""
    digest = digests(tx.connection)
    kind = None if command.subjects is None else command.subjects.kind
    for name, before, after in states:
        change = difference(before, after, digest)
        if change is not None and kind is not None:
            task = name if kind in _OF_TASK else None
            yield _row(tx, command, Made(kind=kind, name=name, task=task), change)
    for made in () if command.made is None else command.made(result):
        yield _row(tx, command, made, Change(None, shown(dict(made.after), digest) or None))


def _row(tx: Transaction, command: Audited[Any], of: Made, change: Change) -> dict[str, Any]:
    details = command.details
    if change.omitted:
        details = {**(details or {}), "omitted_members": change.omitted}
    return {
        "id": new_id(tx.now),
        "at": tx.now,
        "principal": command.author.principal,
        "key_id": command.author.key_id,
        "address": command.author.address,
        "request_id": command.author.request_id,
        "action": command.action,
        "kind": of.kind,
        "name": of.name,
        "task": of.task,
        "before": None if change.before is None else json_text.render(change.before),
        "after": None if change.after is None else json_text.render(change.after),
        "details": json_text.render(details) if details else None,
    }


def digests(connection: Connection) -> Digest:
    """Return what is kept of hidden values: digests with the first encryption key; nothing without one.

    A plain digest would confirm a guess of a value long after it was changed or removed.
    """
    keyring = keyring_of(connection)

    def digest(hidden: Hidden) -> str | None:
        if keyring is None or hidden.plain is None:
            return None
        return keyring.digest(hidden.place, hidden.plain)

    return digest
