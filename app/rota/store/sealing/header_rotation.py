"""Rotation of secret headers: those in plain, or sealed with an earlier key, are sealed with the first one.

The text of a definition is changed and not the definition: this version may not be able to read all of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from rota.db.bulk import Bulk
from rota.db.command import Command, Transaction
from rota.db.encryption import Keyring, keyring_of
from rota.db.tables import task
from rota.domain.http_target.secret_headers import SEALED, is_secret, read_sealed, stored_header
from rota.domain.primitives.ids import Id
from rota.domain.primitives.json import json_text
from rota.domain.primitives.texts.sealed import key_of
from rota.errors import Invalid, Sealed
from rota.store.sealing.secret_headers import open_header, seal_header

# Definitions read by one statement: each may be large.
_TOGETHER = 50
_HAS_HEADERS = task.c.definition.contains('"headers":')


@dataclass(frozen=True, slots=True)
class HeaderWalk:
    """Where a walk over the headers of all tasks stands: behind which task."""

    behind: Id | None = None


@dataclass(frozen=True, slots=True)
class ResealHeaders(Command[int]):
    """Seal the secret headers of tasks with the first key; return of how many tasks.

    A task that is locked by another transaction is skipped: the next walk finds it.
    """

    patient = False

    ids: tuple[Id, ...]

    def apply(self, tx: Transaction) -> int:
        keyring = keyring_of(tx.connection)
        if keyring is None or not self.ids:
            return 0
        these = select(task.c.id, task.c.definition).where(task.c.id.in_(self.ids))
        free = these.order_by(task.c.id).with_for_update(skip_locked=True)
        rows = [
            {"g_id": id, "g_definition": text, "n_definition": resealed}
            for id, text in tx.connection.execute(free).all()
            if (resealed := _resealed(tx.connection, keyring, id, text)) is not None
        ]
        return _UPDATE.execute(tx.connection, rows)


def next_headers(
    connection: Connection, walk: HeaderWalk, limit: int
) -> tuple[list[Id], HeaderWalk | None]:
    """Look at up to `limit` tasks; return those with headers to be sealed, and where to continue, if at all."""
    keyring = keyring_of(connection)
    if keyring is None:
        return [], None
    wanted = select(task.c.id, _HAS_HEADERS.label("has_headers")).order_by(task.c.id).limit(limit)
    if walk.behind is not None:
        wanted = wanted.where(task.c.id > walk.behind)
    rows = connection.execute(wanted).all()
    texts = _definitions(connection, [row.id for row in rows if row.has_headers])
    old = [id for id, text in texts if any(_is_old(keyring, *each) for each in _headers_of(text))]
    return old, HeaderWalk(rows[-1].id) if len(rows) == limit else None


def header_keys(connection: Connection) -> set[str]:
    """Return the ids of the keys that headers are sealed with. Reads all definitions that have some."""
    holders = select(task.c.id).where(_HAS_HEADERS, task.c.definition.contains(f'"{SEALED}":'))
    texts = _definitions(connection, connection.execute(holders).scalars().all())
    read = (read_sealed(value) for _, text in texts for _, value in _headers_of(text))
    return {key_of(each) for each in read if each is not None}


def _definitions(connection: Connection, ids: Sequence[Id]) -> Iterator[tuple[Id, str]]:
    rest = iter(ids)
    while some := list(islice(rest, _TOGETHER)):
        these = select(task.c.id, task.c.definition).where(task.c.id.in_(some))
        yield from ((row.id, row.definition) for row in connection.execute(these))


def _headers_of(text: str) -> list[tuple[str, Any]]:
    return list(_read(text)[1].items())


def _read(text: str) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """Return the document of a definition and the headers in it: none, if it cannot be read."""
    try:
        document = json_text.loads(text)
        headers = document["target"]["headers"]
    except (Invalid, KeyError, TypeError):
        return {}, {}
    there = isinstance(headers, dict) and isinstance(document["target"].get("url"), str)
    return (document, headers) if there else ({}, {})


def _is_old(keyring: Keyring, name: str, value: Any) -> bool:
    sealed = read_sealed(value)
    if sealed is not None:
        return key_of(sealed) != keyring.first
    return isinstance(value, str) and is_secret(name, value)


def _resealed(connection: Connection, keyring: Keyring, task_id: Id, text: str) -> str | None:
    """Return the text of a definition with its headers sealed; None if there is nothing to change."""
    document, headers = _read(text)
    changed: dict[str, Any] = {}
    for name, value in headers.items():
        if not _is_old(keyring, name, value):
            continue
        url, stored = document["target"]["url"], read_sealed(value) or value
        try:
            plain = open_header(connection, task_id, url, name, stored)
        except Sealed:  # its runs fail and say so; the others are not held up
            continue
        changed[name] = stored_header(seal_header(keyring, task_id, url, name, plain))
    if not changed:
        return None
    document["target"]["headers"] = {**headers, **changed}
    return json_text.dumps(document)


_UPDATE = Bulk(
    update(task)
    .where(task.c.id == bindparam("g_id"), task.c.definition == bindparam("g_definition"))
    .values(definition=bindparam("n_definition"))
)
