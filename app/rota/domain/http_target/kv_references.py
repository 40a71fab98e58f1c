"""References of a target to the kv of its task: the entries in its requests, and the writes after a response."""

import re
from bisect import bisect_right
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from rota.domain.http_target.templates.grammar import Reference
from rota.domain.primitives.texts.names import WritableKey

_ASKED = r"^(\*|[A-Za-z0-9_][A-Za-z0-9._:~-]{0,254}\*?)$"
_MOST = 100
_MOST_SHOWN = 200
_PLAIN = re.compile(r"[A-Za-z0-9_:~-]+")

Asked = Annotated[str, StringConstraints(pattern=_ASKED)]

KvAsked = Annotated[
    tuple[Asked, ...],
    Field(
        max_length=_MOST,
        description="Keys of the task's kv, or beginnings of keys with a `*` behind: requests carry these entries.",
        examples=[["cursor", "seen:*"]],
    ),
]
KvSet = Annotated[
    dict[WritableKey, Any],
    Field(
        max_length=_MOST,
        description="What a successful reply that is no outcome writes to the task's kv: by key, JSON with references "
        "such as `{{ result.body.next }}`.",
        examples=[{"cursor": "{{ result.body.next }}"}],
    ),
]


class AskedKeys:
    """Requested keys, and prefixes of keys with a `*`, prepared for look-ups."""

    def __init__(self, asked: Iterable[str]) -> None:
        keys = set(asked)
        self._keys = {each for each in keys if each[-1] != "*"}
        self._beginnings: list[str] = []
        for beginning in sorted(each[:-1] for each in keys if each[-1] == "*"):
            if not self._begin(beginning):
                self._beginnings.append(beginning)

    def __bool__(self) -> bool:
        return bool(self._keys or self._beginnings)

    def __contains__(self, key: str) -> bool:
        return key in self._keys or self._begin(key)

    def _begin(self, key: str) -> bool:
        # No beginning begins another one, so only the last one up to the key can be one of it.
        place = bisect_right(self._beginnings, key)
        return place > 0 and key.startswith(self._beginnings[place - 1])


def fault_in_key(asked: AskedKeys, reference: Reference) -> str | None:
    """Return what is wrong with a reference that begins with `kv`; None if the requested entries have it."""
    if not asked:
        return (
            f"there is no {reference.brief}: the request carries no entries; name them in 'kv', "
            'as in "kv": ["cursor"]'
        )
    if (
        len(reference.path) == 1 or str(reference.path[1]) in asked
    ):  # all of them (`{{ kv }}`) are always there
        return None
    return (
        f"{str(reference.path[1])[:_MOST_SHOWN]!r} is not among the keys in 'kv'{_hint(reference)}"
    )


def _hint(reference: Reference) -> str:
    names = [
        step for step in reference.path[1:] if isinstance(step, str) and _PLAIN.fullmatch(step)
    ]
    if len(names) < len(reference.path) - 1 or len(names) == 1:
        return ""
    if sum(map(len, names)) > _MOST_SHOWN:
        return ""
    return f'; a key with dots is written kv["{".".join(names)}"]'
