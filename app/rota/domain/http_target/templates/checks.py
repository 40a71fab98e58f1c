"""What a registration checks of templates: that they can be read, and that what they refer to can be there."""

from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum
from typing import Any

from rota.domain.http_target.kv_references import AskedKeys, fault_in_key
from rota.domain.http_target.refusals import Fault, refuse_if_any
from rota.domain.http_target.templates.grammar import (
    MOST_REFERENCES,
    Reference,
    TemplateError,
    references_in,
    texts,
)
from rota.domain.validation.messages import nearest


class Place(StrEnum):
    """The fields of a target in which texts are templates."""

    URL = "url"
    HEADERS = "headers"
    QUERY = "query"
    BODY = "body"
    AUTH = "auth"
    KV_SET = "kv_set"


#: What `run` and `task` hold.
RUN_FIELDS = (
    "id",
    "attempt",
    "failures",
    "trigger",
    "task",
    "scheduled_for",
    "idempotency_key",
)
TASK_FIELDS = ("id", "name")

_ROOTS = ("input", "kv", "task", "run", "scheduled_for")
_SECRET, _RESULT = "secret", "result"
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "run": RUN_FIELDS,
    "task": TASK_FIELDS,
    _RESULT: ("status", "headers", "body", "body_bytes", "truncated"),
}
# Whose fields are no objects.
_FLAT = frozenset({"run", "task"})
_MAY_BE_SECRET = frozenset({Place.HEADERS, Place.AUTH})
_SECRET_PATH = 2


def check_templates(given: Mapping[Place, Any], asked: Collection[str]) -> None:
    """Check the fields of a target that are templates; `asked` are the entries of the kv in its requests.

    Raises ValidationError, with the place of each text that is wrong, and what is wrong with it.
    """
    known = AskedKeys(asked)
    refuse_if_any(
        ((place.value, *path), message)
        for place, template in given.items()
        for path, message in _faults(template, place, known)
    )


def _faults(template: Any, place: Place, asked: AskedKeys) -> Iterator[Fault]:
    """Yield the faults of one field: the first of each text, and that it has too many references altogether."""
    count = 0
    for path, text in texts(template):
        try:
            found = list(references_in(text))
        except TemplateError as error:
            yield path, str(error)
            continue
        count += len(found)
        if count > MOST_REFERENCES:
            yield (), f"it has more than {MOST_REFERENCES:,} references, which is the limit"
            return
        messages = (_fault(each, place, asked) for each in found)
        message = next(filter(None, messages), None)
        if message is not None:
            yield path, message


def _fault(reference: Reference, place: Place, asked: AskedKeys) -> str | None:
    root, *rest = reference.path
    if root == _SECRET:
        return _fault_in_secret(reference, place)
    if root == _RESULT and place is not Place.KV_SET:
        return f"there is no '{reference.brief}' here: the reply is there in 'kv_set' only"
    if root not in _ROOTS and root != _RESULT:
        return _unknown_root(reference, place)
    if root == "scheduled_for" and rest:
        return f"there is no {reference.brief}: 'scheduled_for' is a text"
    if root == "kv":
        return fault_in_key(asked, reference)
    return _fault_in_fields(reference)


def _fault_in_secret(reference: Reference, place: Place) -> str | None:
    if place not in _MAY_BE_SECRET:
        return (
            f"'{reference.brief}' cannot be in '{place}': a secret is sent in 'headers' or 'auth' only, "
            "since addresses, bodies and entries are logged and stored"
        )
    if len(reference.path) != _SECRET_PATH or not isinstance(reference.path[1], str):
        return f"'{reference.brief}' is no secret: write 'secret' and one name, as in '{{{{ secret.crm }}}}'"
    if len(reference.filters) > 1:
        return (
            f"'{reference.brief}' has several filters: a secret takes one at most, "
            "or it could not be found in replies"
        )
    return None


def _unknown_root(reference: Reference, place: Place) -> str:
    roots = roots_of(place)
    hint = nearest(str(reference.path[0]), roots)
    return f"'{reference.brief}' begins with none of {', '.join(roots)}{hint}"


def roots_of(place: Place) -> tuple[str, ...]:
    """Return what references in a field of a target may begin with."""
    secret = (_SECRET,) if place in _MAY_BE_SECRET else ()
    return (*_ROOTS, *secret, *((_RESULT,) if place is Place.KV_SET else ()))


def _fault_in_fields(reference: Reference) -> str | None:
    root, *rest = reference.path
    known = _FIELDS.get(str(root))
    if known is None or not rest:
        return None
    if rest[0] not in known:
        return f"there is no {reference.brief}: '{root}' has {', '.join(known)}{nearest(str(rest[0]), known)}"
    if root in _FLAT and len(rest) > 1:
        return f"there is no {reference.brief}: '{root}.{rest[0]}' is a text or a number"
    return None
