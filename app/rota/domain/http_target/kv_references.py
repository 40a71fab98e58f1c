"""References of a target to the kv of its task: the entries in its requests, and the writes after a response."""

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from rota.domain.http_target.templates import (
    MOST_REFERENCES,
    Reference,
    TemplateError,
    count_references,
    references,
)
from rota.domain.primitives.names import WritableKey

#: What `run` holds in a request.
RUN_MEMBERS = ("id", "attempt", "task", "scheduled_for", "idempotency_key")

_ASKED = r"^(\*|[A-Za-z0-9_][A-Za-z0-9._:~-]{0,254}\*?)$"
_MOST = 100
_REQUEST_ROOTS = ("kv", "input", "run")
_MEMBERS = {"run": RUN_MEMBERS, "result": ("status", "headers", "body")}
_PLAIN = re.compile(r"[A-Za-z0-9_:~-]+")

Asked = Annotated[str, StringConstraints(pattern=_ASKED)]


def _check_result_template(template: Any) -> Any:
    _check(template, (*_REQUEST_ROOTS, "result"))
    return template


KvAsked = Annotated[
    tuple[Asked, ...],
    Field(
        max_length=_MOST,
        description="Keys of the task's kv, or beginnings of keys with a `*` behind: requests carry these entries.",
        examples=[["cursor", "seen:*"]],
    ),
]
KvSet = Annotated[
    dict[WritableKey, Annotated[Any, AfterValidator(_check_result_template)]],
    Field(
        max_length=_MOST,
        description="What a successful reply that is no outcome writes to the task's kv: by key, JSON with references "
        "such as `{{ result.body.next }}`.",
        examples=[{"cursor": "{{ result.body.next }}"}],
    ),
]


def check_request_template(template: Any, asked: Collection[str]) -> None:
    """Raise PydanticCustomError for an invalid template, or a reference to something that requests do not have."""
    _check(template, _REQUEST_ROOTS)
    check_asked(template, asked)


def check_asked(template: Any, asked: Collection[str]) -> None:
    """Raise PydanticCustomError for a reference to an entry that is not in `asked`."""
    known = AskedKeys(asked)
    for reference in references(template):
        if reference.path[0] == "kv" and not _covers(known, reference):
            key = reference.path[1]
            raise _wrong(f"{key!r} is not among the keys in 'kv'{_hint(reference)}")


class AskedKeys:
    """Requested keys, and prefixes of keys with a `*`, prepared for look-ups."""

    def __init__(self, asked: Iterable[str]) -> None:
        keys = set(asked)
        self._keys = {each for each in keys if each[-1] != "*"}
        self._beginnings: list[str] = []
        for beginning in sorted(each[:-1] for each in keys if each[-1] == "*"):
            if not self._begin(beginning):
                self._beginnings.append(beginning)

    def __contains__(self, key: str) -> bool:
        return key in self._keys or self._begin(key)

    def _begin(self, key: str) -> bool:
        # No beginning begins another one, so only the last one up to the key can be one of it.
        place = bisect_right(self._beginnings, key)
        return place > 0 and key.startswith(self._beginnings[place - 1])


def _check(template: Any, roots: Collection[str]) -> None:
    check_number(template)
    for reference in references(template):
        _check_place(reference, roots)


def check_number(template: Any) -> None:
    """Raise PydanticCustomError for an invalid template, or for too many references."""
    try:
        count = count_references(template)
    except TemplateError as error:
        raise _wrong(str(error)) from None
    if count > MOST_REFERENCES:
        raise _wrong(f"it has more than {MOST_REFERENCES:,} references, which is the limit")


def _check_place(reference: Reference, roots: Collection[str]) -> None:
    root, *rest = reference.path
    if root not in roots:
        raise _wrong(f"'{reference}' begins with none of {', '.join(roots)}")
    known = _MEMBERS.get(str(root))
    if known is not None and rest and rest[0] not in known:
        raise _wrong(f"there is no {reference}: '{root}' has {', '.join(known)}")


def _covers(asked: AskedKeys, reference: Reference) -> bool:
    # All of them (`{{ kv }}`) are always there.
    return len(reference.path) == 1 or str(reference.path[1]) in asked


def _hint(reference: Reference) -> str:
    names = [
        step for step in reference.path[1:] if isinstance(step, str) and _PLAIN.fullmatch(step)
    ]
    if len(names) < len(reference.path) - 1 or len(names) == 1:
        return ""
    return f'; a key with dots is written kv["{".".join(names)}"]'


def _wrong(message: str) -> PydanticCustomError:
    return PydanticCustomError("template", "{message}", {"message": message})
