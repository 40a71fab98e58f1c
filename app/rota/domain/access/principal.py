"""The client of a request: an API key, or a program of this machine where no key is set."""

from dataclasses import dataclass

from rota.domain.access.names import UNLIMITED, NameLimit
from rota.domain.access.scopes import Scope

_EVERYTHING = frozenset({Scope.ADMIN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who makes a request. The default is an administrator: a key of ROTA_API_KEY, or this machine."""

    #: What rows and responses show (`updated_by`): `local`, `key:1`, or `key:` and the id of a stored key.
    label: str
    #: What separates the Idempotency-Keys of one client from those of others.
    idempotency_scope: str
    scopes: frozenset[Scope] = _EVERYTHING
    tasks: NameLimit = UNLIMITED
    #: The queues that it may lease runs from, and change.
    queues: NameLimit = UNLIMITED
    #: The id of a stored key; None for one of ROTA_API_KEY, and without a key.
    key_id: str | None = None
    #: How many requests a second it may make of one replica; None: any number.
    rate: float | None = None
    #: How many tasks, unfinished runs and bytes of kv values there may be under its prefixes; None: any number.
    max_tasks: int | None = None
    max_unfinished_runs: int | None = None
    max_kv_bytes: int | None = None

    def may(self, scope: Scope) -> bool:
        """Return whether it has a scope."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


LOCAL = Principal(label="local", idempotency_scope="local")
#: Who has no key that is known, where that is enough. It may do nothing for which a scope is needed.
ANONYMOUS = Principal(label="anonymous", idempotency_scope="anonymous", scopes=frozenset())
