"""Changes of API keys, as the audit log has them: through the API, and by `rota key`."""

from collections.abc import Iterator

from rota.db.command import Command, R
from rota.domain.audit.actions import Action, Kind
from rota.domain.audit.author import Author
from rota.domain.primitives.times.instants import format_instant
from rota.store.access.changes import CreateKey, MadeKey
from rota.store.audit.audited import Audited, Made, audited
from rota.store.audit.subjects import Named


def creation(command: CreateKey, author: Author) -> Audited[MadeKey]:
    """Return the command that makes a key with its entry, which has what the key may do."""
    return audited(command, author=author, action=Action.KEY_CREATED, made=_made)


def change(command: Command[R], action: Action, id: str, author: Author) -> Audited[R]:
    """Return a command that changes a key with its entry; of the secret it has the version."""
    return audited(command, author=author, action=action, subjects=Named(Kind.KEY, id))


def _made(made: MadeKey) -> Iterator[Made]:
    key = made.stored
    after = {
        "name": key.name,
        "scopes": sorted(key.scopes),
        "tasks": None if key.tasks is None else list(key.tasks),
        "queues": None if key.queues is None else list(key.queues),
        "rate": key.rate,
        "max_tasks": key.max_tasks,
        "max_unfinished_runs": key.max_unfinished_runs,
        "max_kv_bytes": key.max_kv_bytes,
        "expires_at": None if key.expires_at is None else format_instant(key.expires_at),
    }
    yield Made(kind=Kind.KEY, name=key.id, after=after)
