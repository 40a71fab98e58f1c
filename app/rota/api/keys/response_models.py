"""Response models of API keys, and their views."""

from datetime import datetime
from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from rota.api.http.formats import InstantText, show_instant
from rota.domain.access.names import NameLimit
from rota.domain.access.principal import Principal
from rota.domain.access.scopes import Scope
from rota.domain.access.stored_key import KeyStatus, StoredKey

_Id = Annotated[
    str,
    Field(
        description="It is part of the key, and what rows and logs name it by.",
        examples=["ab2c3d4e5f6g"],
    ),
]
_Scopes = Annotated[
    list[Scope],
    Field(description="What it may do.", examples=[["runs:read", "tasks:read", "tasks:write"]]),
]
_Tasks = Annotated[
    list[str] | None,
    Field(description="The beginnings of names of tasks; null: all.", examples=[["billing-"]]),
]
_Queues = Annotated[
    list[str] | None,
    Field(description="The beginnings of names of queues; null: all.", examples=[["mail"]]),
]
_Rate = Annotated[
    float | None, Field(description="Requests in a second; null: any number.", examples=[20])
]
_MaxTasks = Annotated[
    int | None,
    Field(
        description="Tasks that have not ended that there may be when it adds one; null: any number.",
        examples=[500],
    ),
]
_MaxUnfinishedRuns = Annotated[
    int | None,
    Field(
        description="Unfinished runs that there may be when it requests one; null: any number.",
        examples=[1_000],
    ),
]
_MaxKvBytes = Annotated[
    int | None,
    Field(
        description="Bytes of kv values that there may be when it writes some; null: any number.",
        examples=[100_000_000],
    ),
]
_Expiry = Annotated[
    InstantText | None, Field(description="When it expires, or has expired; null: never.")
]


class KeyOut(TypedDict):
    """A key without its secret."""

    id: _Id
    name: Annotated[
        str, Field(description="Who uses it, or what for.", examples=["CI of the billing team"])
    ]
    status: Annotated[KeyStatus, Field(description="Whether it is accepted.", examples=["active"])]
    scopes: _Scopes
    tasks: _Tasks
    queues: _Queues
    rate: _Rate
    max_tasks: _MaxTasks
    max_unfinished_runs: _MaxUnfinishedRuns
    max_kv_bytes: _MaxKvBytes
    expires_at: _Expiry
    created_at: Annotated[InstantText, Field(description="When it was made.")]
    created_by: Annotated[
        str, Field(description="The key that has made it, or `cli`.", examples=["key:1"])
    ]
    rotated_at: Annotated[
        InstantText | None, Field(description="When it got its present secret, if not at first.")
    ]
    previous_until: Annotated[
        InstantText | None,
        Field(description="Until when the secret before is accepted as well."),
    ]
    last_used_at: Annotated[InstantText | None, Field(description="To the minute; null: never.")]
    revoked_at: Annotated[
        InstantText | None, Field(description="When it was revoked; null: it was not.")
    ]
    revoked_by: Annotated[
        str | None, Field(description="The key that has revoked it, or `cli`.", examples=["cli"])
    ]


class MadeKeyOut(KeyOut):
    """A key with its secret: no other response has that."""

    key: Annotated[
        str,
        Field(
            description="What is sent as `Authorization: Bearer …`. Keep it: only a digest of it is stored.",
            examples=["rota_ab2c3d4e5f6g_5hQ0mXq0n1o6dWw0o9Yl0y5bJwVxk2QfC8s1uHk7E8u2wZb9F"],
        ),
    ]


class KeysOut(TypedDict):
    """A page of keys, in the order in which they were made."""

    items: list[KeyOut]
    next_cursor: str | None


class OwnKeyOut(TypedDict):
    """The client of this request, and what it may do."""

    label: Annotated[
        str,
        Field(
            description="How rows name it (`updated_by`): `key:` and the id of a stored key, `key:1` and `key:2` for "
            "those of ROTA_API_KEY, `local` where no key is needed.",
            examples=["key:ab2c3d4e5f6g"],
        ),
    ]
    id: Annotated[str | None, Field(description="Null: not stored.", examples=["ab2c3d4e5f6g"])]
    name: Annotated[
        str | None,
        Field(description="Of a stored key.", examples=["CI of the billing team"]),
    ]
    scopes: _Scopes
    tasks: _Tasks
    queues: _Queues
    rate: _Rate
    max_tasks: _MaxTasks
    max_unfinished_runs: _MaxUnfinishedRuns
    max_kv_bytes: _MaxKvBytes
    expires_at: _Expiry


def show_key(key: StoredKey, now: datetime) -> KeyOut:
    """Return a key as it may be shown at any time."""
    return {
        "id": key.id,
        "name": key.name,
        "status": key.status(now),
        "scopes": sorted(key.scopes),
        "tasks": None if key.tasks is None else list(key.tasks),
        "queues": None if key.queues is None else list(key.queues),
        "rate": key.rate,
        "max_tasks": key.max_tasks,
        "max_unfinished_runs": key.max_unfinished_runs,
        "max_kv_bytes": key.max_kv_bytes,
        "expires_at": show_instant(key.expires_at),
        "created_at": show_instant(key.created_at) or "",
        "created_by": key.created_by,
        "rotated_at": show_instant(key.rotated_at),
        "previous_until": show_instant(key.previous_until),
        "last_used_at": show_instant(key.last_used_at),
        "revoked_at": show_instant(key.revoked_at),
        "revoked_by": key.revoked_by,
    }


def show_own(caller: Principal, key: StoredKey | None) -> OwnKeyOut:
    """Return the client of a request, and its key if that is stored."""
    return {
        "label": caller.label,
        "id": caller.key_id,
        "name": None if key is None else key.name,
        "scopes": sorted(caller.scopes),
        "tasks": _shown(caller.tasks),
        "queues": _shown(caller.queues),
        "rate": caller.rate,
        "max_tasks": caller.max_tasks,
        "max_unfinished_runs": caller.max_unfinished_runs,
        "max_kv_bytes": caller.max_kv_bytes,
        "expires_at": None if key is None else show_instant(key.expires_at),
    }


def _shown(limit: NameLimit) -> list[str] | None:
    return None if limit.prefixes is None else list(limit.prefixes)
